package systems

import (
	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/runtime/failure"
)

// PVECodes are those that every primitive of a Proxmox system can raise.
func PVECodes() []failure.Code {
	return []failure.Code{
		proxmox.CodeDown,
		proxmox.CodeAuth,
		proxmox.CodeCert,
		proxmox.CodeRefused,
		proxmox.CodeNoGuest,
		keyring.CodeSecret,
	}
}
