package policytest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/neosofia/runner/runtime"
	"go.starlark.net/starlark"
)

// call names a call of a primitive by some of its arguments.
type call struct {
	text, prim string
	args       map[string]string
}

var callForm = regexp.MustCompile(`^(\w+)\(([^()]*)\)$`)

func parseCall(key starlark.Value) (c call, err error) {
	text, _ := starlark.AsString(key)
	m := callForm.FindStringSubmatch(text)
	if m == nil {
		return c, fmt.Errorf("%s: want a call such as \"snapshot_vm(guest=erp)\"", key)
	}
	c = call{text: text, prim: m[1], args: map[string]string{}}
	for _, part := range strings.Split(m[2], ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		k, v, ok := strings.Cut(part, "=")
		if !ok {
			return c, fmt.Errorf("%q: want name=value", text)
		}
		c.args[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	return c, nil
}

// is reports whether a call is the one that is named. An argument that is a list
// matches by any of its elements.
func (c call) is(prim string, args map[string]any) bool {
	if c.prim != prim {
		return false
	}
	for k, v := range c.args {
		if !holds(args[k], v) {
			return false
		}
	}
	return true
}

func holds(have any, want string) bool {
	if list, ok := have.([]any); ok {
		for _, e := range list {
			if holds(e, want) {
				return true
			}
		}
		return false
	}
	return have != nil && fmt.Sprint(have) == want
}

// known finds the primitive that is named, and refuses arguments that it does not have:
// a call that cannot be made would never be met.
func (c call) known(rt *runtime.Runtime) (runtime.Info, error) {
	for _, d := range rt.Primitives {
		info := d.Info()
		if info.Name != c.prim {
			continue
		}
		have := slices.Clone(info.Parts)
		for _, p := range info.Params {
			have = append(have, p.Name)
		}
		for _, name := range slices.Sorted(maps.Keys(c.args)) {
			if !slices.Contains(have, name) {
				return info, fmt.Errorf("%s: %s has no argument %s\nhint: it has %s", c.text, c.prim, name, list(have))
			}
		}
		return info, nil
	}
	return runtime.Info{}, fmt.Errorf("%s: there is no primitive %s", c.text, c.prim)
}

// codes lists what a primitive declares.
func codes(info runtime.Info) []string {
	var out []string
	for _, c := range info.Codes {
		out = append(out, c.Name)
	}
	slices.Sort(out)
	return out
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
