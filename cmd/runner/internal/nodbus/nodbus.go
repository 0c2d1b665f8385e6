// Package nodbus keeps a library from starting a daemon.
//
// The keyring library looks for the session bus when it is initialised, and runs
// dbus-launch if none is named: 12 ms and a left-over process at every start of
// runner. A package that imports only syscall is initialised before it; when
// nobody named a bus, this one names one that cannot be dialled.
package nodbus

import "syscall"

func init() {
	if _, set := syscall.Getenv("DBUS_SESSION_BUS_ADDRESS"); !set {
		syscall.Setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:")
	}
}
