package site

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeNoZone  = failure.Code{Name: "E_NO_ZONE", Doc: "the site has no such zone, or the token does not see it"}
	CodeNoAsset = failure.Code{Name: "E_NO_ASSET", Doc: "the site declares no row of the SOP's table for it"}
)
