package cloudflare

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/lab/internal/schema"
)

//go:embed schema.json.gz
var schemaGZ []byte

// api is what is served: paths with {names}, and the types of their results.
type api struct {
	Paths map[string]*endpoint                  `json:"paths"`
	Types map[string]map[string]json.RawMessage `json:"types"`
}

type endpoint struct {
	Query  map[string]json.RawMessage `json:"query"` // "float64", or {"enum": […]}
	Paging string                     `json:"paging"`
	Result string                     `json:"result"`
}

func readSchema() (*api, error) {
	s := &api{}
	return s, schema.Read(schemaGZ, s)
}

// find returns the template that a path fits. Fixed words win over {names}.
func (s *api) find(path string) (template string, vars map[string]string) {
	parts, best := strings.Split(path, "/"), -1
	for t := range s.Paths {
		fixed, v := 0, map[string]string{}
		words := strings.Split(t, "/")
		if len(words) != len(parts) {
			continue
		}
		fits := true
		for i, w := range words {
			switch {
			case strings.HasPrefix(w, "{"):
				v[strings.Trim(w, "{}")] = parts[i]
				fits = fits && parts[i] != ""
			case w == parts[i]:
				fixed++
			default:
				fits = false
			}
		}
		if fits && fixed > best {
			template, vars, best = t, v, fixed
		}
	}
	return template, vars
}

// check says what is wrong with the query; "" is nothing.
func (e *endpoint) check(q url.Values) string {
	for name, values := range q {
		raw, known := e.Query[name]
		if !known {
			return "unknown query parameter " + name
		}
		for _, v := range values {
			if text := checkValue(raw, v); text != "" {
				return name + ": " + text
			}
		}
	}
	return ""
}

func checkValue(raw json.RawMessage, v string) string {
	var typ string
	if json.Unmarshal(raw, &typ) != nil {
		var enum struct{ Enum []string }
		if json.Unmarshal(raw, &enum) == nil && !slices.Contains(enum.Enum, v) {
			return fmt.Sprintf("%q is not one of %v", v, enum.Enum)
		}
		return ""
	}
	var err error
	switch typ {
	case "float64":
		_, err = strconv.ParseFloat(v, 64)
	case "int64":
		_, err = strconv.ParseInt(v, 10, 64)
	case "bool":
		_, err = strconv.ParseBool(v)
	case "rfc3339":
		_, err = time.Parse(time.RFC3339, v)
	}
	if err != nil {
		return fmt.Sprintf("%q is no %s", v, typ)
	}
	return ""
}
