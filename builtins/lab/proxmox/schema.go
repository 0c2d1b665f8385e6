package proxmox

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/lab/internal/schema"
)

// schemaGZ is the vendor's schema of Proxmox VE 9.2.3 (apidoc.js), cut to what
// the lab serves: every path with its methods is named, and a served method
// carries its parameters and permissions; the others are null.
//
//go:embed schema.json.gz
var schemaGZ []byte

var perlFlags = regexp.MustCompile(`\(\?\^([a-z]*):`)

// apiSchema maps paths with {names} in them to methods.
type apiSchema struct {
	Version string                        `json:"version"`
	Paths   map[string]map[string]*method `json:"paths"`
	split   []template
}

type template struct {
	path  string
	parts []string
}

type method struct {
	Parameters  map[string]*property `json:"parameters"`
	Permissions *permission          `json:"permissions"`
	ProxyTo     string               `json:"proxyto"`
}

type permission struct {
	User  string `json:"user"`
	Check []any  `json:"check"`
}

// property is one parameter as PVE::JSONSchema declares it.
type property struct {
	Type      string          `json:"type"`
	Optional  int             `json:"optional"`
	Enum      []string        `json:"enum"`
	Pattern   string          `json:"pattern"`
	Format    json.RawMessage `json:"format"`
	Minimum   *json.Number    `json:"minimum"`
	Maximum   *json.Number    `json:"maximum"`
	MinLength int             `json:"minLength"`
	MaxLength int             `json:"maxLength"`
	Requires  string          `json:"requires"`
	Items     *property       `json:"items"`

	re *regexp.Regexp
}

func loadSchema() (*apiSchema, error) {
	s := &apiSchema{}
	err := schema.Read(schemaGZ, s)
	if err != nil {
		return nil, err
	}
	for path, methods := range s.Paths {
		s.split = append(s.split, template{path, strings.Split(path, "/")[1:]})
		for _, m := range methods {
			if m == nil {
				continue
			}
			for _, p := range m.Parameters {
				if p.re, err = perlPattern(p.Pattern); err != nil {
					return nil, fmt.Errorf("parse embedded schema: %s: %w", path, err)
				}
			}
		}
	}
	// Fixed words win over {names}: sorted so that "{" comes last.
	sort.Slice(s.split, func(i, j int) bool { return s.split[i].path < s.split[j].path })
	return s, nil
}

// perlPattern compiles a Perl pattern that must match the whole value.
func perlPattern(p string) (*regexp.Regexp, error) {
	p = perlFlags.ReplaceAllString(p, "(?$1:") // (?^i:…) sets flags anew
	if p == "" {
		return nil, nil
	}
	return regexp.Compile(`^(?:` + p + `)$`)
}

// find returns the template that path fits and the values of its {names}.
// parts are the decoded elements of the path.
func (s *apiSchema) find(parts []string) (string, map[string]string) {
	for _, t := range s.split {
		if vars, ok := t.match(parts); ok {
			return t.path, vars
		}
	}
	return "", nil
}

func (t template) match(parts []string) (map[string]string, bool) {
	if len(parts) != len(t.parts) {
		return nil, false
	}
	vars := map[string]string{}
	for i, want := range t.parts {
		if strings.HasPrefix(want, "{") {
			vars[strings.Trim(want, "{}")] = parts[i]
		} else if want != parts[i] {
			return nil, false
		}
	}
	return vars, true
}

var indexed = regexp.MustCompile(`^(.*?)(\d+)$`)

// lookup finds the declaration of a parameter; net0 is declared as net[n].
func (m *method) lookup(name string) *property {
	if p := m.Parameters[name]; p != nil {
		return p
	}
	if x := indexed.FindStringSubmatch(name); x != nil {
		return m.Parameters[x[1]+"[n]"]
	}
	return nil
}

// check returns the errors that PVE puts into "errors" of a 400.
func (m *method) check(params map[string][]string) map[string]string {
	errs := map[string]string{}
	for name, values := range params {
		p := m.lookup(name)
		if p == nil {
			errs[name] = "property is not defined in schema and the schema does not allow additional properties"
			continue
		}
		for i, v := range values {
			at, p := name, p
			if p.Type == "array" && p.Items != nil {
				at, p = fmt.Sprintf("%s[%d]", name, i), p.Items
			}
			if text := p.check(at, v); text != "" {
				errs[at] = text
			}
		}
		if p.Requires != "" && params[p.Requires] == nil {
			errs[p.Requires] = "missing property - '" + name + "' requires this property"
		}
	}
	for name, p := range m.Parameters {
		if p.Optional == 0 && params[name] == nil && !strings.HasSuffix(name, "[n]") {
			errs[name] = "property is missing and it is not optional"
		}
	}
	return errs
}

func (p *property) check(at, v string) string {
	switch p.Type {
	case "integer", "number":
		if text := p.checkNumber(v); text != "" {
			return text
		}
	case "boolean":
		if _, ok := parseBool(v); !ok {
			return fmt.Sprintf("type check ('boolean') failed - got '%s'", v)
		}
	}
	if text := checkFormat(p.Format, at, v); text != "" {
		return text
	}
	switch {
	case p.re != nil && !p.re.MatchString(v):
		return "value does not match the regex pattern"
	case p.MinLength > 0 && len([]rune(v)) < p.MinLength:
		return fmt.Sprintf("value must be at least %d characters long", p.MinLength)
	case p.MaxLength > 0 && len([]rune(v)) > p.MaxLength:
		return fmt.Sprintf("value may only be %d characters long", p.MaxLength)
	}
	if len(p.Enum) == 0 {
		return ""
	}
	for _, e := range p.Enum {
		if e == v {
			return ""
		}
	}
	return fmt.Sprintf("value '%s' does not have a value in the enumeration '%s'", v, strings.Join(p.Enum, ", "))
}

func (p *property) checkNumber(v string) string {
	n, err := strconv.ParseFloat(v, 64)
	if p.Type == "integer" {
		var i int64
		i, err = strconv.ParseInt(v, 10, 64)
		n = float64(i)
	}
	if err != nil {
		return fmt.Sprintf("type check ('%s') failed - got '%s'", p.Type, v)
	}
	if p.Minimum != nil {
		if low, err := p.Minimum.Float64(); err == nil && n < low {
			return "value must have a minimum value of " + p.Minimum.String()
		}
	}
	if p.Maximum != nil {
		if high, err := p.Maximum.Float64(); err == nil && n > high {
			return "value must have a maximum value of " + p.Maximum.String()
		}
	}
	return ""
}

// parseBool reads a boolean as PVE does.
func parseBool(v string) (value, ok bool) {
	switch strings.ToLower(v) {
	case "1", "on", "yes", "true":
		return true, true
	case "0", "off", "no", "false":
		return false, true
	}
	return false, false
}
