package proxmox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// editFirewall changes the file that a request is about.
func (c *Cluster) editFirewall(r *request, edit func(f *firewallFile) error) (any, error) {
	return nil, c.locked(func() error {
		path, err := c.firewallFileOf(r)
		if err != nil {
			return err
		}
		f, err := c.readFirewall(path)
		if err != nil {
			return err
		}
		if err := edit(f); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return writeFile(path, []byte(f.text()))
	})
}

// body is what a request sets: its parameters without those of the path.
func (r *request) body(without ...string) map[string]any {
	m := map[string]any{}
	for k := range r.params {
		if _, ofPath := r.vars[k]; ofPath || k == "digest" || slices.Contains(without, k) {
			continue
		}
		m[k] = r.get(k)
		p := r.m.lookup(k)
		switch {
		case p == nil:
		case p.Type == "array":
			m[k] = r.params[k]
		case p.Type == "integer" || p.Type == "boolean":
			m[k] = number(strings.NewReplacer("true", "1", "false", "0").Replace(r.get(k)))
		}
	}
	return m
}

func (c *Cluster) putFirewallOptions(r *request) (any, error) {
	return c.editFirewall(r, func(f *firewallFile) error {
		for k, v := range r.body("delete") {
			f.options[k] = v
		}
		for _, k := range splitList(r.get("delete")) {
			delete(f.options, k)
		}
		return nil
	})
}

// newRule is always put in front, switched off unless it says otherwise; pos is ignored.
func newRule(r *request) map[string]any {
	m := r.body("pos", "group")
	if m["enable"] == nil {
		m["enable"] = 0
	}
	return m
}

func (c *Cluster) postFirewallRule(r *request) (any, error) {
	return c.editFirewall(r, func(f *firewallFile) error {
		f.rules = append([]map[string]any{newRule(r)}, f.rules...)
		return nil
	})
}

func (c *Cluster) postFirewallAlias(r *request) (any, error) {
	return c.editFirewall(r, func(f *firewallFile) error {
		for _, a := range f.aliases {
			if strings.EqualFold(fmt.Sprint(a["name"]), r.get("name")) {
				return badParam("name", "alias '"+r.get("name")+"' already exists")
			}
		}
		m := r.body()
		m["name"] = r.get("name")
		f.aliases = append(f.aliases, m)
		return nil
	})
}

func (c *Cluster) postFirewallSet(r *request) (any, error) {
	return c.editFirewall(r, func(f *firewallFile) error {
		for _, s := range f.sets {
			if s.name == r.get("name") {
				return failf("IPSet '%s' already exists", s.name)
			}
		}
		f.sets = append(f.sets, &firewallSet{name: r.get("name"), comment: r.get("comment")})
		return nil
	})
}

func (c *Cluster) postFirewallSetEntry(r *request) (any, error) {
	return c.editFirewall(r, func(f *firewallFile) error {
		for _, s := range f.sets {
			if s.name == r.vars["name"] {
				s.entries = append([]map[string]any{r.body("name")}, s.entries...)
				return nil
			}
		}
		return failf("no such IPSet '%s'", r.vars["name"])
	})
}

func (c *Cluster) postFirewallGroup(r *request) (any, error) {
	return c.editFirewall(r, func(f *firewallFile) error {
		for _, s := range f.groups {
			if s.name == r.get("group") {
				return failf("Security group '%s' already exists", s.name)
			}
		}
		f.groups = append(f.groups, &firewallSet{name: r.get("group"), comment: r.get("comment")})
		return nil
	})
}

func (c *Cluster) postFirewallGroupRule(r *request) (any, error) {
	return c.editFirewall(r, func(f *firewallFile) error {
		for _, s := range f.groups {
			if s.name == r.vars["group"] {
				s.entries = append([]map[string]any{newRule(r)}, s.entries...)
				return nil
			}
		}
		return failf("no such security group '%s'", r.vars["group"])
	})
}

// text prints the file as Proxmox does.
func (f *firewallFile) text() string {
	var b strings.Builder
	section := func(name, comment string, lines []string) {
		if comment != "" {
			name += " # " + comment
		}
		b.WriteString(name + "\n\n")
		for _, l := range lines {
			b.WriteString(l + "\n")
		}
		b.WriteString("\n")
	}
	var lines []string
	for _, k := range sortedKeys(f.options) {
		lines = append(lines, fmt.Sprintf("%s: %v", k, f.options[k]))
	}
	if len(lines) > 0 {
		section("[OPTIONS]", "", lines)
	}
	lines = nil
	for _, a := range f.aliases {
		lines = append(lines, commented(fmt.Sprintf("%s %s", a["name"], a["cidr"]), a))
	}
	if len(lines) > 0 {
		section("[ALIASES]", "", lines)
	}
	for _, s := range f.sets {
		lines = nil
		for _, e := range s.entries {
			no := ""
			if e["nomatch"] == 1 {
				no = "!"
			}
			lines = append(lines, commented(no+fmt.Sprint(e["cidr"]), e))
		}
		section("[IPSET "+s.name+"]", s.comment, lines)
	}
	if len(f.rules) > 0 {
		section("[RULES]", "", ruleLines(f.rules))
	}
	for _, s := range f.groups {
		section("[group "+s.name+"]", s.comment, ruleLines(s.entries))
	}
	return b.String()
}

func commented(line string, m map[string]any) string {
	if c, ok := m["comment"].(string); ok && c != "" {
		line += " # " + c
	}
	return line
}

func ruleLines(rules []map[string]any) (out []string) {
	for _, m := range rules {
		action := fmt.Sprint(m["action"])
		if macro, ok := m["macro"].(string); ok {
			action = macro + "(" + action + ")"
		}
		line := strings.ToUpper(fmt.Sprint(m["type"])) + " " + action
		if m["enable"] != 1 {
			line = "|" + line
		}
		fields := fwFields()
		for _, opt := range sortedKeys(fields) {
			if v, ok := m[fields[opt]]; ok {
				line += fmt.Sprintf(" %s %v", opt, v)
			}
		}
		out = append(out, commented(line, m))
	}
	return out
}
