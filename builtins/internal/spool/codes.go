package spool

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeSpool = failure.Code{Name: "E_SPOOL", Doc: "the spool below the state folder cannot be written"}
	CodeFull  = failure.Code{Name: "E_SPOOL_FULL", Doc: "the disk of the state folder is full"}
)
