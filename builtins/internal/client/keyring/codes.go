package keyring

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeSecret = failure.Code{Name: "E_SECRET", Doc: "a secret is not in the keyring, or the keyring cannot be opened"}
	CodeLocked = failure.Code{Name: "E_KEYRING_LOCKED", Doc: "the keyring cannot be opened, or no item of it can"}
	CodeEmpty  = failure.Code{Name: "E_KEYRING_EMPTY", Doc: "the keyring holds nothing, or nothing that is meant"}
)
