package proxmox

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeRefused = failure.Code{Name: "E_PVE", Doc: "Proxmox refused the request; its words follow"}
	CodeAuth    = failure.Code{Name: "E_PVE_AUTH", Doc: "the token is wrong, expired, or lacks a right; the text names the privilege " +
		"and its path"}
	CodeCert = failure.Code{Name: "E_PVE_CERT", Doc: "the certificate is not one that the site accepts"}
	CodeDown = failure.Code{Name: "E_PVE_DOWN", Doc: "a node cannot be reached, the connection broke off, or the proxy gave up " +
		"(595, 596); tried again"}
	CodeSSH = failure.Code{Name: "E_PVE_SSH", Doc: "a node cannot be reached over SSH: it refuses our key, or the site names no " +
		"way to it"}
	CodeNoGuest      = failure.Code{Name: "E_NO_GUEST", Doc: "no such guest, or the token does not see it"}
	CodeNotOurs      = failure.Code{Name: "E_NOT_OURS", Doc: "a guest or an archive does not carry the token of its step: it is not removed"}
	CodeLocked       = failure.Code{Name: "E_GUEST_LOCKED", Doc: "the guest stayed locked until the deadline; the text names the lock"}
	CodeStorage      = failure.Code{Name: "E_STORAGE", Doc: "the storage does not exist, is disabled, or is not mounted"}
	CodeStorageFull  = failure.Code{Name: "E_STORAGE_FULL", Doc: "the storage is full"}
	CodeStorageLimit = failure.Code{Name: "E_STORAGE_LIMIT", Doc: "the storage's own retention limit refuses another archive"}
)
