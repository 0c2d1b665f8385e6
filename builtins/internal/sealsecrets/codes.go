package sealsecrets

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeChanged     = failure.Code{Name: "E_SECRET_CHANGED", Doc: "the keyring was changed while it was read; tried again"}
	CodeSize        = failure.Code{Name: "E_SECRET_SIZE", Doc: "the secrets are larger than what is sealed at once"}
	CodeNoRecipient = failure.Code{Name: "E_NO_RECIPIENT", Doc: "nobody could open the secrets: no recipient, or one that cannot be used"}
	CodeOnHost      = failure.Code{Name: "E_RECIPIENT_ON_HOST", Doc: "all that could open the secrets lies on this host, and would be lost " +
		"with it"}
	CodeCustodians = failure.Code{Name: "E_CUSTODIANS", Doc: "threshold and custodians do not fit together"}
	CodeShares     = failure.Code{Name: "E_SHARES", Doc: "the new shares did not open their own canary"}
)
