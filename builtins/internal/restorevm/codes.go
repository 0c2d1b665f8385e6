package restorevm

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeNoCopy = failure.Code{Name: "E_NO_COPY", Doc: "no copy could be restored; the text says why each was left"}
	CodeTaken  = failure.Code{Name: "E_VMID_TAKEN", Doc: "the VMID is not free"}
	CodeFailed = failure.Code{Name: "E_RESTORE_FAILED", Doc: "Proxmox could not restore it; its words follow"}
)
