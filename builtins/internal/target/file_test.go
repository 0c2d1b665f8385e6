package target_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
)

// folder opens a new folder as a target; change may alter the declaration.
func folder(t testing.TB, dir string, medium *Medium, change func(*target.Spec, *target.Env)) (*target.Target, error) {
	t.Helper()
	spec := target.Spec{Name: "usb-a", URL: "file:///backups", Medium: "usb", Location: "safe", Offline: true}
	env := Env(medium)
	env.Root = filepath.Dir(dir)
	if change != nil {
		change(&spec, &env)
	}
	tgt, err := target.Open(context.Background(), spec, env)
	if err == nil {
		t.Cleanup(func() { tgt.Close() })
	}
	return tgt, err
}

func newFolder(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backups")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openFolder(t testing.TB, dir string, change func(*target.Spec, *target.Env)) *target.Target {
	t.Helper()
	tgt, err := folder(t, dir, Stick(), change)
	if err != nil {
		t.Fatal(err)
	}
	return tgt
}

// A store that can neither rename nor append keeps the same promises.
func TestObjects(t *testing.T) {
	Run(t, func(t *testing.T) (*target.Target, Hooks) {
		dir := newFolder(t)
		open := func(t *testing.T, change func(*target.Spec, *target.Env)) *target.Target {
			tgt := openFolder(t, dir, change)
			target.AsObjects(tgt)
			return tgt
		}
		return open(t, nil), Hooks{Dir: dir, Objects: true, Open: open}
	})
}

func TestFolder(t *testing.T) {
	Run(t, func(t *testing.T) (*target.Target, Hooks) {
		dir := newFolder(t)
		return openFolder(t, dir, nil), Hooks{Dir: dir, Open: func(t *testing.T, change func(*target.Spec, *target.Env)) *target.Target {
			return openFolder(t, dir, change)
		}}
	})
}
