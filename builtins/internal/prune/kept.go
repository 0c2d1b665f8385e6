package prune

import (
	"slices"

	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
)

// leaveKept takes back removals on targets whose files runner cannot change, as the site
// says: to try would fail, and what goes there is for that place's own rule.
func leaveKept(s *runtime.Step, choice *Choice) {
	for _, t := range systems.Of(s).Site.Targets {
		if t.Probed == "" {
			continue
		}
		all := len(choice.Removals)
		choice.Removals = slices.DeleteFunc(choice.Removals, func(r Removal) bool { return r.Copy.Target == t.Name })
		if n := all - len(choice.Removals); n > 0 {
			s.Log("%d copies on %s could go; it is %s: its own rule removes them, or nobody", n, t.Name, t.Probed)
		}
	}
}
