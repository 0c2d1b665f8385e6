package site

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeNoAsset = failure.Code{Name: "E_NO_ASSET", Doc: "the site declares no row of the SOP's table for it"}
)
