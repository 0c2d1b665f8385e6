package targettest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

// Env is a world in which every folder is on one device and a second passes with
// each look at the clock.
func Env(device *ledger.Device) target.Env {
	var mu sync.Mutex
	now := time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC)
	return target.Env{
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(time.Second)
			return now
		},
		Device: func(string) (ledger.Device, error) {
			mu.Lock()
			defer mu.Unlock()
			return *device, nil
		},
	}
}

// Stick is the device that test targets are on.
func Stick() *ledger.Device {
	return &ledger.Device{ID: "serial:STICK-1", Serial: "STICK-1", UUID: "1b4e28ba-2fa1-11d2-883f-0016d3cca427", FS: "ext4", Mount: "/mnt/stick", Removable: true}
}

// Code returns the code of a target's error, "" for none.
func Code(err error) string {
	var e *target.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Refused holds that an error has a code.
func Refused(t testing.TB, err error, want string) {
	t.Helper()
	if got := Code(err); got != want {
		t.Errorf("got error %v (%s), want %s", err, got, want)
	}
}

// Keys returns an identity with its recipient, post-quantum hybrid or classic.
func Keys(t testing.TB, hybrid bool) (age.Identity, string) {
	t.Helper()
	if hybrid {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			t.Fatal(err)
		}
		return id, id.Recipient().String()
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id, id.Recipient().String()
}
