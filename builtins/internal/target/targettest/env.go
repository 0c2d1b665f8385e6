package targettest

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Medium is the device that test targets are on. It can be exchanged.
type Medium struct {
	mu     sync.Mutex
	device ledger.Device
}

// Stick returns a medium.
func Stick() *Medium {
	return &Medium{device: ledger.Device{ID: "serial:STICK-1", Serial: "STICK-1", UUID: "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
		FS: "ext4", Mount: "/mnt/stick", Removable: true}}
}

// Device returns what is attached now.
func (m *Medium) Device() ledger.Device {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.device
}

// Exchange attaches another medium.
func (m *Medium) Exchange(d ledger.Device) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.device = d
}

// Env is a world in which folders called "backups" are on the medium and all
// others on the system's disk. A second passes with each look at the clock.
func Env(m *Medium) target.Env {
	var mu sync.Mutex
	now := time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC)
	return target.Env{
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(time.Second)
			return now
		},
		Device: func(path string) (ledger.Device, error) {
			if filepath.Base(path) != "backups" {
				return ledger.Device{ID: "serial:SSD", Serial: "SSD", UUID: "system", FS: "ext4", Mount: "/"}, nil
			}
			return m.Device(), nil
		},
	}
}

// Refused holds that an error has a code.
func Refused(t testing.TB, err error, want failure.Code) {
	t.Helper()
	if got := failure.CodeOf(err); got != want {
		t.Errorf("got error %v (%s), want %s", err, got.Name, want.Name)
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
