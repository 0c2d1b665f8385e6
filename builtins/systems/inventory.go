package systems

import (
	"fmt"

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

// AnsweredNames is the list of names that a test answers an inventory with.
func AnsweredNames(primitive string, answer any) ([]string, error) {
	list, ok := answer.([]any)
	names := make([]string, len(list))
	for i := range list {
		var text bool
		names[i], text = list[i].(string)
		ok = ok && text
	}
	if !ok {
		return nil, fmt.Errorf("the test answers %s with %v: want a list of names", primitive, answer)
	}
	return names, nil
}
