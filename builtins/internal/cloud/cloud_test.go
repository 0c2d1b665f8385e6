package cloud_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/cloud"
	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/builtins/lab"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == engine.Verb {
		if err := engine.Main(func(ctx context.Context, cfg engine.Config, keep engine.Keep) (engine.Engine, error) {
			return cloud.Open(ctx, cfg, keep, time.Now)
		}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// account is the lab's OneDrive and the login that the keyring holds.
type account struct {
	*lab.World
	mu    sync.Mutex
	login []byte
	kept  int
}

func newAccount(t *testing.T) *account {
	t.Helper()
	w, err := lab.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return &account{World: w, login: lab.Secrets()["onedrive"]}
}

func (a *account) spec() target.Spec {
	return target.Spec{Name: "offsite", URL: "onedrive:///backups",
		Login: func(context.Context) ([]byte, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			return append([]byte(nil), a.login...), nil
		},
		Keep: func(b []byte) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.login = append([]byte(nil), b...)
			a.kept++
			return nil
		}}
}

func (a *account) open(t *testing.T, change func(*target.Spec, *target.Env)) (*target.Target, error) {
	t.Helper()
	spec, env := a.spec(), targettest.Env(targettest.Stick())
	env.Dial, env.Roots = a.Dial, lab.Roots()
	if change != nil {
		change(&spec, &env)
	}
	tgt, err := target.Open(t.Context(), spec, env)
	if err == nil {
		t.Cleanup(func() {
			if err := tgt.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return tgt, err
}

func (a *account) must(t *testing.T, change func(*target.Spec, *target.Env)) *target.Target {
	t.Helper()
	tgt, err := a.open(t, change)
	if err != nil {
		t.Fatal(err)
	}
	return tgt
}

func TestOneDriveKeepsThePromisesOfATarget(t *testing.T) {
	t.Parallel()
	targettest.Run(t, func(t *testing.T) (*target.Target, targettest.Hooks) {
		t.Parallel()
		a := newAccount(t)
		return a.must(t, nil), targettest.Hooks{Dir: filepath.Join(a.OneDrive().Files(), "backups"), Objects: true, Paced: true,
			Open: func(t *testing.T, change func(*target.Spec, *target.Env)) *target.Target { return a.must(t, change) }}
	})
}
