package systems

import (
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Inventory is the result of a primitive that lists what the site protects: names, and
// what is expected of the run because of them. What the site leaves out is left out
// here, as long as its exception lasts.
func Inventory(s *runtime.Step, items []ledger.Item) runtime.Result {
	names := []string{}
	var r runtime.Result
	for _, it := range items {
		if _, excused := Of(s).Site.Demands.Excused(it.Name, s.Now()); excused {
			continue
		}
		names = append(names, it.Name)
		r.Facts.Expected = append(r.Facts.Expected, it)
	}
	r.Value = names
	return r
}
