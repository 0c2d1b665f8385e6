package ssh

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeHostKey = failure.Code{Name: "E_HOST_KEY", Doc: "the host presents another key than the site states"}
)
