package shiplogs

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeRead     = failure.Code{Name: "E_LOGS_READ", Doc: "the source cannot be read; its words follow"}
	CodeChanging = failure.Code{Name: "E_LOGS_CHANGING", Doc: "files are rotated faster than they can be read; tried again"}
	CodeChain    = failure.Code{Name: "E_LOGS_CHAIN", Doc: "the ledger's newest batch says nothing that a next one could begin at"}
)
