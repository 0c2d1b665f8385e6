//go:build !linux

package target

import (
	"errors"

	"github.com/neosofia/runner/runtime/ledger"
)

// SystemDevice is for Linux only: elsewhere devices cannot be told apart.
func SystemDevice(string) (ledger.Device, error) {
	return ledger.Device{}, errors.New("look up device: this is possible on Linux only")
}
