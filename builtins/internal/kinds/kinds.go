// Package kinds lists the kinds of artifacts: the one place that names them all.
package kinds

import (
	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/internal/kind/files"
	"github.com/neosofia/runner/builtins/internal/kind/guest"
	"github.com/neosofia/runner/builtins/internal/kind/logs"
	"github.com/neosofia/runner/builtins/internal/kind/rear"
	"github.com/neosofia/runner/builtins/internal/kind/ruleset"
	"github.com/neosofia/runner/builtins/internal/kind/secrets"
	"github.com/neosofia/runner/builtins/internal/kind/zone"
	"github.com/neosofia/runner/builtins/internal/target"
)

// All lists the kinds.
func All() []kind.Kind {
	return []kind.Kind{files.Kind(), guest.VM(), guest.Container(), ruleset.Kind(), logs.Kind(), rear.Kind(), secrets.Kind(), zone.Kind()}
}

// Find returns the kind of that name.
func Find(name string) (kind.Kind, bool) {
	for _, k := range All() {
		if k.Name == name {
			return k, true
		}
	}
	return kind.Kind{}, false
}

// Checker returns what opens artifacts of a kind; nil when this program does not
// know it.
func Checker(name string) func() target.Checker {
	k, _ := Find(name)
	return k.Open
}
