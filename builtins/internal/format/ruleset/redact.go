package ruleset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Redact removes from a JSON object or list the fields whose name is a secret's, at
// any depth, and returns their names, each once. Switches and empty values are no
// secrets: they stay, and say that none is set.
func Redact(raw json.RawMessage, secret func(name string) bool) (json.RawMessage, []string, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, nil, fmt.Errorf("look for secrets: %w", err)
	}
	gone := map[string]bool{}
	redact(tree, secret, gone)
	if len(gone) == 0 {
		return raw, nil, nil
	}
	out, err := json.Marshal(tree)
	return out, slices.Sorted(maps.Keys(gone)), err
}

func redact(tree any, secret func(string) bool, gone map[string]bool) {
	switch t := tree.(type) {
	case map[string]any:
		for k, v := range t {
			switch {
			case plain(v):
			case secret(k):
				delete(t, k)
				gone[k] = true
			default:
				redact(v, secret, gone)
			}
		}
	case []any:
		for _, v := range t {
			redact(v, secret, gone)
		}
	}
}

// plain reports values that say nothing.
func plain(v any) bool {
	switch t := v.(type) {
	case nil, bool:
		return true
	case string:
		return t == ""
	case []any:
		return len(t) == 0
	case map[string]any:
		return len(t) == 0
	}
	return false
}
