package proxmox

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// firewallFile is a parsed /etc/pve/firewall/*.fw or /etc/pve/nodes/*/host.fw.
type firewallFile struct {
	parts   map[string]string // section -> its text, of which its digest is made
	options map[string]any
	aliases []map[string]any
	sets    []*firewallSet
	groups  []*firewallSet
	rules   []map[string]any
}

// firewallSet is an IP set, or a security group.
type firewallSet struct {
	name, comment string
	entries       []map[string]any
}

var fwSection = regexp.MustCompile(`^\[(\w+)(?:\s+([\w-]+))?\]\s*(?:#\s*(.*))?$`)

func (c *Cluster) readFirewall(path string) (*firewallFile, error) {
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f := &firewallFile{parts: map[string]string{}, options: map[string]any{}}
	section, part := "", ""
	var set *firewallSet
	for n, line := range strings.Split(string(raw), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if m := fwSection.FindStringSubmatch(line); m != nil {
			section = strings.ToLower(m[1])
			part = section + " " + m[2]
			f.parts[section+"s"] += line + "\n"
			set = &firewallSet{name: m[2], comment: m[3]}
			switch section {
			case "ipset":
				f.sets = append(f.sets, set)
			case "group":
				f.groups = append(f.groups, set)
			}
			continue
		}
		f.parts[part] += line + "\n"
		if err := f.add(section, set, line); err != nil {
			return nil, fmt.Errorf("%s line %d: %w", path, n+1, err)
		}
	}
	return f, nil
}

// dated gives entries the digest of their part: options, rules, aliases, the list of
// sets and each set have digests of their own.
func (f *firewallFile) dated(part string, entries []map[string]any) []map[string]any {
	for _, e := range entries {
		e["digest"] = digestOf([]byte(f.parts[part]))
	}
	return entries
}

func (f *firewallFile) add(section string, set *firewallSet, line string) error {
	body, comment, _ := strings.Cut(line, " #")
	comment = strings.TrimSpace(comment)
	with := func(m map[string]any) map[string]any {
		if comment != "" {
			m["comment"] = comment
		}
		return m
	}
	switch section {
	case "options":
		key, value, ok := strings.Cut(body, ":")
		if !ok {
			return errors.New("an option has no value")
		}
		f.options[strings.TrimSpace(key)] = number(strings.TrimSpace(value))
	case "aliases":
		w := strings.Fields(body)
		if len(w) != 2 {
			return errors.New("an alias is a name and an address")
		}
		f.aliases = append(f.aliases, with(map[string]any{"name": w[0], "cidr": w[1], "ipversion": ipVersion(w[1])}))
	case "ipset":
		e := with(map[string]any{"cidr": strings.TrimSpace(strings.TrimPrefix(body, "!"))})
		if strings.HasPrefix(body, "!") {
			e["nomatch"] = 1
		}
		set.entries = append(set.entries, e)
	case "rules", "group":
		r, err := fwRule(body)
		if err != nil {
			return err
		}
		r = with(r)
		if section == "group" {
			r["pos"] = len(set.entries)
			set.entries = append(set.entries, r)
		} else {
			r["pos"] = len(f.rules)
			f.rules = append(f.rules, r)
		}
	default:
		return fmt.Errorf("section %q is not known", section)
	}
	return nil
}

func number(s string) any {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	return s
}

func ipVersion(s string) int {
	if strings.Contains(s, ":") {
		return 6
	}
	return 4
}

// fwFields are the options of a rule, as its line and as the interface name them.
func fwFields() map[string]string {
	return map[string]string{"-i": "iface", "-source": "source", "-dest": "dest", "-p": "proto", "-dport": "dport", "-sport": "sport",
		"-log": "log", "-icmp-type": "icmp-type"}
}

var fwMacro = regexp.MustCompile(`^(\w+)\((\w+)\)$`)

// fwRule parses "|IN SSH(ACCEPT) -i net0 -source +mgmt"; "|" is a disabled rule.
func fwRule(line string) (map[string]any, error) {
	r := map[string]any{"enable": 1}
	if rest, off := strings.CutPrefix(line, "|"); off {
		r["enable"], line = 0, rest
	}
	w := strings.Fields(line)
	if len(w) < 2 {
		return nil, errors.New("a rule is a direction and an action")
	}
	r["type"], r["action"] = strings.ToLower(w[0]), w[1]
	if m := fwMacro.FindStringSubmatch(w[1]); m != nil {
		r["macro"], r["action"] = m[1], m[2]
	}
	for i := 2; i+1 < len(w); i += 2 {
		field := fwFields()[w[i]]
		if field == "" {
			return nil, fmt.Errorf("option %s is not known", w[i])
		}
		r[field] = w[i+1]
	}
	if version := map[any]int{"icmp": 4, "icmpv6": 6, "ipv6-icmp": 6}[r["proto"]]; version > 0 {
		r["ipversion"] = version
	}
	for _, field := range []string{"source", "dest"} {
		word, _ := r[field].(string)
		if p, err := netip.ParsePrefix(word); err == nil {
			r["ipversion"] = ipVersion(p.String())
		} else if a, err := netip.ParseAddr(word); err == nil {
			r["ipversion"] = ipVersion(a.String())
		} else if word != "" && !strings.HasPrefix(word, "+") {
			r["ipversion"] = 4 // an alias: the lab's are of IPv4
		}
	}
	return r, nil
}

// firewallOf is the file that a request is about: the cluster's, a node's, or a
// guest's, whether that guest exists or not.
func (c *Cluster) firewallOf(r *request) (*firewallFile, error) {
	path, err := c.firewallFileOf(r)
	if err != nil {
		return nil, err
	}
	return c.readFirewall(path)
}

// firewallFileOf is where that file is. A vnet has one once it is applied.
func (c *Cluster) firewallFileOf(r *request) (string, error) {
	switch {
	case r.vars["vmid"] != "":
		return c.firewallPath(r.s, r.vmid()), nil
	case r.vars["vnet"] != "":
		ok, err := c.applied(r)
		if err == nil && !ok {
			err = failf("invalid vnet specified at /usr/share/perl5/PVE/API2/Firewall/Helpers.pm line 54.")
		}
		return c.sdnPath(r.s, "firewall/"+filepath.Base(r.vars["vnet"])+".fw"), err
	case r.vars["node"] != "":
		return c.node(r.node(), "etc/pve/nodes/"+filepath.Base(r.node())+"/host.fw"), nil
	}
	return c.node(r.s.nodes()[0], "etc/pve/firewall/cluster.fw"), nil
}

func (c *Cluster) getFirewallOptions(r *request) (any, error) {
	f, err := c.firewallOf(r)
	if err != nil {
		return nil, err
	}
	f.options["digest"] = digestOf([]byte(f.parts["options "]))
	return f.options, nil
}

func (c *Cluster) getFirewallRules(r *request) (any, error) {
	f, err := c.firewallOf(r)
	if err != nil {
		return nil, err
	}
	return list(f.dated("rules ", f.rules)), nil
}

func (c *Cluster) getFirewallAliases(r *request) (any, error) {
	f, err := c.firewallOf(r)
	if err != nil {
		return nil, err
	}
	return list(f.dated("aliases ", f.aliases)), nil
}

func (c *Cluster) getFirewallSets(r *request) (any, error) {
	f, err := c.firewallOf(r)
	if err != nil {
		return nil, err
	}
	return f.index("ipset", f.sets, "name"), nil
}

func (c *Cluster) getFirewallGroups(r *request) (any, error) {
	f, err := c.firewallOf(r)
	if err != nil {
		return nil, err
	}
	return f.index("group", f.groups, "group"), nil
}

func (f *firewallFile) index(section string, sets []*firewallSet, key string) any {
	out := []any{}
	for _, s := range sets {
		m := map[string]any{key: s.name, "digest": digestOf([]byte(f.parts[section+"s"]))}
		if s.comment != "" {
			m["comment"] = s.comment
		}
		out = append(out, m)
	}
	return out
}

func (c *Cluster) getFirewallSet(r *request) (any, error) {
	f, err := c.firewallOf(r)
	if err != nil {
		return nil, err
	}
	return f.found("ipset", f.sets, r.vars["name"], "no such IPSet '%s'")
}

func (c *Cluster) getFirewallGroup(r *request) (any, error) {
	f, err := c.firewallOf(r)
	if err != nil {
		return nil, err
	}
	return f.found("group", f.groups, r.vars["group"], "no such security group '%s'")
}

func (f *firewallFile) found(section string, sets []*firewallSet, name, missing string) (any, error) {
	for _, s := range sets {
		if s.name == name {
			return list(f.dated(section+" "+name, s.entries)), nil
		}
	}
	return nil, &refusal{status: 500, message: fmt.Sprintf(missing, name)}
}

func list(entries []map[string]any) any {
	out := []any{}
	for _, e := range entries {
		out = append(out, e)
	}
	return out
}
