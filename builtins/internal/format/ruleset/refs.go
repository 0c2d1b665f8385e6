package ruleset

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"sort"
	"strings"
)

// Unresolved lists what the rules of a document name and the document does not
// hold: such a state would not load, or not mean what it meant. A name in a part
// that could not be read is not judged.
func (d *Document) Unresolved() []string {
	var out []string
	switch d.Vendor {
	case "proxmox":
		out = d.proxmoxRefs()
	case "linux":
		out = d.linuxRefs()
	case "cloudflare":
		out = d.cloudflareRefs()
	}
	sort.Strings(out)
	return out
}

func (d *Document) lacks(part string) bool {
	for _, m := range d.Missing {
		if m.Part == part {
			return true
		}
	}
	return false
}

// strings of an entry's fields.
func text(e json.RawMessage, key string) string {
	var m map[string]any
	if json.Unmarshal(e, &m) != nil {
		return ""
	}
	s, _ := m[key].(string)
	return s
}

// names are the values of a field in a section, in lower case: Proxmox ignores case.
func (d *Document) names(section, key string) map[string]bool {
	out := map[string]bool{}
	if s := d.Section(section); s != nil {
		for _, e := range s.Entries {
			out[strings.ToLower(text(e, key))] = true
		}
	}
	return out
}

// proxmoxRefs follows source and dest of rules, members of sets, and groups.
func (d *Document) proxmoxRefs() (out []string) {
	sets, aliases, groups := d.names("cluster/ipset", "name"), d.names("cluster/aliases", "name"), d.names("cluster/groups", "group")
	for _, s := range d.Sections {
		scope, part, _ := strings.Cut(s.Name, "/")
		if scope == "guest" {
			id, rest, _ := strings.Cut(part, "/")
			scope, part = "guest/"+id, rest
		}
		own, ownAliases := d.names(scope+"/ipset", "name"), d.names(scope+"/aliases", "name")
		known := func(word string) bool {
			word = strings.ToLower(strings.TrimSpace(word))
			switch {
			case strings.HasPrefix(word, "+sdn/"), strings.HasPrefix(word, "+management"), strings.HasPrefix(word, "+ipfilter"):
				return true // made by Proxmox itself
			case strings.HasPrefix(word, "+dc/"):
				return sets[word[4:]] || d.lacks("cluster/ipset")
			case strings.HasPrefix(word, "+guest/"):
				return own[word[7:]] || d.lacks(scope+"/ipset")
			case strings.HasPrefix(word, "+"):
				return own[word[1:]] || sets[word[1:]] || d.lacks("cluster/ipset") || d.lacks(scope+"/ipset")
			case strings.HasPrefix(word, "dc/"):
				return aliases[word[3:]] || d.lacks("cluster/aliases")
			case strings.HasPrefix(word, "guest/"):
				return ownAliases[word[6:]] || d.lacks(scope+"/aliases")
			case isAddress(word):
				return true
			}
			return word == "local_network" || ownAliases[word] || aliases[word] || d.lacks("cluster/aliases") || d.lacks(scope+"/aliases")
		}
		for i, e := range s.Entries {
			switch {
			case part == "rules" || strings.HasPrefix(part, "groups/") || strings.HasSuffix(part, "/rules"):
				if g := text(e, "action"); text(e, "type") == "group" && !groups[strings.ToLower(g)] && !d.lacks("cluster/groups") {
					out = append(out, fmt.Sprintf("%s, rule %d: there is no group %q", s.Name, i, g))
				}
				for _, field := range []string{"source", "dest"} {
					for _, word := range strings.Split(text(e, field), ",") {
						if word != "" && !known(word) {
							out = append(out, fmt.Sprintf("%s, rule %d: %s %q is not a set, alias or address", s.Name, i, field, word))
						}
					}
				}
			case strings.HasPrefix(part, "ipset/"):
				if word := text(e, "cidr"); !known(word) {
					out = append(out, fmt.Sprintf("%s: %q is not an alias or address", s.Name, word))
				}
			}
		}
	}
	return out
}

func isAddress(word string) bool {
	if from, to, ok := strings.Cut(word, "-"); ok {
		_, err1 := netip.ParseAddr(from)
		_, err2 := netip.ParseAddr(to)
		return err1 == nil && err2 == nil
	}
	if _, err := netip.ParsePrefix(word); err == nil {
		return true
	}
	_, err := netip.ParseAddr(word)
	return err == nil
}

// linuxRefs follows jumps and sets of nftables.
func (d *Document) linuxRefs() (out []string) {
	s := d.Section("nftables")
	if s == nil {
		return nil
	}
	have := map[string]bool{}
	type object struct{ Family, Table, Name, Chain string }
	each := func(f func(kind string, o object, raw json.RawMessage)) {
		for _, e := range s.Entries {
			var one map[string]json.RawMessage
			if json.Unmarshal(e, &one) != nil {
				continue
			}
			for kind, raw := range one {
				var o object
				if json.Unmarshal(raw, &o) == nil {
					f(kind, o, raw)
				}
			}
		}
	}
	each(func(kind string, o object, _ json.RawMessage) {
		if kind == "map" {
			kind = "set"
		}
		have[kind+" "+o.Family+" "+o.Table+" "+o.Name] = true
	})
	each(func(kind string, o object, raw json.RawMessage) {
		if kind != "rule" {
			return
		}
		var tree any
		if json.Unmarshal(raw, &tree) != nil {
			return
		}
		walk(tree, func(key, value string) {
			switch {
			case key == "target" && !have["chain "+o.Family+" "+o.Table+" "+value]:
				out = append(out, fmt.Sprintf("nftables, chain %s %s %s: there is no chain %q", o.Family, o.Table, o.Chain, value))
			case strings.HasPrefix(value, "@") && (key == "right" || key == "left" || key == "set" || key == "data") &&
				!have["set "+o.Family+" "+o.Table+" "+value[1:]]:
				out = append(out, fmt.Sprintf("nftables, chain %s %s %s: there is no set %q", o.Family, o.Table, o.Chain, value[1:]))
			}
		})
	})
	return out
}

// walk gives every string in a tree with the nearest key above it.
func walk(tree any, f func(key, value string)) {
	var at func(key string, v any)
	at = func(key string, v any) {
		switch t := v.(type) {
		case string:
			f(key, t)
		case []any:
			for _, x := range t {
				at(key, x)
			}
		case map[string]any:
			for k, x := range t {
				at(k, x)
			}
		}
	}
	at("", tree)
}

var listName = regexp.MustCompile(`(?:^|[^\w"])\$([a-z0-9_]+(?:\.[a-z0-9_]+)?)`)

// cloudflareRefs follows lists in expressions and rulesets that rules execute.
func (d *Document) cloudflareRefs() (out []string) {
	lists, rulesets := map[string]bool{}, map[string]bool{}
	for _, s := range d.Sections {
		for _, e := range s.Entries {
			switch {
			case strings.HasSuffix(s.Name, "/lists"):
				lists[text(e, "name")] = true
			case strings.Contains(s.Name, "/rulesets"):
				rulesets[text(e, "id")] = true
			}
		}
	}
	lacking := func(word string) bool {
		for _, m := range d.Missing {
			if strings.Contains(m.Part, word) {
				return true
			}
		}
		return false
	}
	noLists, noRulesets := lacking("lists"), lacking("rulesets")
	for _, s := range d.Sections {
		if !strings.Contains(s.Name, "/rulesets") {
			continue
		}
		for _, e := range s.Entries {
			var r struct {
				Name  string
				Rules []struct {
					Expression, Action string
					Parameters         struct{ ID string } `json:"action_parameters"`
				}
			}
			if json.Unmarshal(e, &r) != nil {
				continue
			}
			for i, rule := range r.Rules {
				for _, m := range listName.FindAllStringSubmatch(withoutQuotes(rule.Expression), -1) {
					if !lists[m[1]] && !strings.HasPrefix(m[1], "cf.") && !noLists {
						out = append(out, fmt.Sprintf("%s %s, rule %d: there is no list %q", s.Name, r.Name, i, m[1]))
					}
				}
				if id := rule.Parameters.ID; rule.Action == "execute" && id != "" && !rulesets[id] && !noRulesets {
					out = append(out, fmt.Sprintf("%s %s, rule %d: there is no ruleset %q", s.Name, r.Name, i, id))
				}
			}
		}
	}
	return out
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

func withoutQuotes(expr string) string { return quoted.ReplaceAllString(expr, `""`) }
