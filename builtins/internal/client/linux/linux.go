// Package linux exports what filters and routes packets on a Linux host: nftables,
// iptables where it is used, forwarding, addresses, routes, policy rules, and the
// files that set them up at boot. It changes nothing: nft and iptables-restore are
// asked to check a text, never to load it.
//
// The programs are those of the host (nft, ip, sysctl, iptables-save, ipset): what
// they print is what they can read again there. Texts and JSON lose what changes by
// itself: counters, handles, lifetimes, the interfaces of running guests.
package linux

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// Files that Export makes beside the document.
const (
	NFT       = "ruleset.nft"
	IPTables  = "iptables.rules"
	IP6Tables = "ip6tables.rules"
	IPSet     = "ipset.rules"
)

// RefusedError says that a tool does not take the text that it printed itself.
type RefusedError struct{ File, Tool, Said string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s does not take %s, which it printed itself: %s", e.Tool, e.File, e.Said)
}

// Export is a host's state.
type Export struct {
	Document *ruleset.Document
	Names    []string // of files, in order
	Files    map[string][]byte
}

func (x *Export) file(name string, content []byte, by string) {
	x.Names = append(x.Names, name)
	x.Files[name] = content
	sum := sha256.Sum256(content)
	x.Document.Checked = append(x.Document.Checked, ruleset.Accepted{File: name, SHA256: hex.EncodeToString(sum[:]), By: by})
}

// Read exports a host's state. Errors are those of the host, *host.ExitError,
// *RefusedError; without nft or ip there is no export.
func Read(ctx context.Context, h host.Host) (*Export, error) {
	x := &Export{Document: &ruleset.Document{System: h.Name(), Vendor: "linux"}, Files: map[string][]byte{}}
	for _, part := range []func(context.Context, host.Host) error{x.nftables, x.iptables, x.sysctl, x.addresses, x.routes, x.bootFiles} {
		if err := part(ctx, h); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (x *Export) nftables(ctx context.Context, h host.Host) error {
	out, err := host.Output(ctx, h, "nft", "-j", "-s", "list", "ruleset")
	if err != nil {
		return err
	}
	n, err := ruleset.ParseNFT(out)
	if err != nil {
		return err
	}
	if err := x.Document.AddNFT(n); err != nil {
		return err
	}
	text, err := nftText(ctx, h, n)
	if err != nil {
		return err
	}
	r, err := h.Run(ctx, host.Command{Args: []string{"nft", "-c", "-f", "-"}, Stdin: bytes.NewReader(text)})
	if err != nil {
		return err
	}
	if r.Exit != 0 {
		return &RefusedError{NFT, "nft -c", firstLine(r.Stderr)}
	}
	x.file(NFT, text, "nft -c, nftables v"+n.Version)
	return nil
}

// nftText is what nft loads again. Tables that iptables-nft keeps cannot be loaded
// by nft and are left out: the other tables then replace themselves, one by one.
func nftText(ctx context.Context, h host.Host, n *ruleset.NFT) ([]byte, error) {
	if len(n.XT) == 0 {
		out, err := host.Output(ctx, h, "nft", "-s", "list", "ruleset")
		return append([]byte("flush ruleset\n"), out...), err
	}
	var b bytes.Buffer
	b.WriteString("# tables that iptables-nft keeps are not in here, but in " + IPTables + "\n")
	for _, t := range n.Tables {
		if n.XT[t] {
			continue
		}
		out, err := host.Output(ctx, h, "nft", "-s", "list", "table", t[0], t[1])
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "table %s %s\ndelete table %s %s\n%s", t[0], t[1], t[0], t[1], out)
	}
	return b.Bytes(), nil
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return host.Tail([]byte(line))
}

var counters = regexp.MustCompile(`\[\d+:\d+\]`)

// saved is the output of iptables-save and ipset save without dates and counters.
func saved(out []byte) []string {
	var lines []string
	for _, line := range strings.Split(string(out), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		lines = append(lines, counters.ReplaceAllString(line, "[0:0]"))
	}
	return lines
}

func (x *Export) iptables(ctx context.Context, h host.Host) error {
	for _, t := range []struct{ section, file, save, restore string }{
		{"iptables", IPTables, "iptables-save", "iptables-restore"},
		{"ip6tables", IP6Tables, "ip6tables-save", "ip6tables-restore"},
	} {
		out, err := host.Output(ctx, h, t.save)
		if errors.Is(err, host.ErrNoProgram) {
			if x.usesXT(t.section) {
				x.Document.Miss(t.section, t.save+" is not on the host, and nftables holds tables that iptables keeps")
			}
			continue
		}
		if err != nil {
			return err
		}
		lines := saved(out)
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "-A") || strings.Contains(l, " DROP ") }) {
			continue // empty chains that let all pass
		}
		if err := ruleset.Add(x.Document, t.section, true, lines); err != nil {
			return err
		}
		text := []byte(strings.Join(lines, "\n") + "\n")
		r, err := h.Run(ctx, host.Command{Args: []string{t.restore, "--test"}, Stdin: bytes.NewReader(text)})
		if err != nil {
			return err
		}
		if r.Exit != 0 {
			return &RefusedError{t.file, t.restore + " --test", firstLine(r.Stderr)}
		}
		x.file(t.file, text, t.restore+" --test")
	}
	if x.Document.Section("iptables") == nil && x.Document.Section("ip6tables") == nil {
		return nil
	}
	out, err := host.Output(ctx, h, "ipset", "save")
	if errors.Is(err, host.ErrNoProgram) {
		return nil // then no rule of iptables can name a set
	}
	if err != nil {
		return err
	}
	if lines := saved(out); len(lines) > 0 {
		if err := ruleset.Add(x.Document, "ipset", false, lines); err != nil {
			return err
		}
		x.file(IPSet, []byte(strings.Join(lines, "\n")+"\n"), "")
	}
	return nil
}

// usesXT reports whether nftables holds tables of iptables, or ip6tables.
func (x *Export) usesXT(section string) bool {
	family := map[string]string{"iptables": `"family":"ip"`, "ip6tables": `"family":"ip6"`}[section]
	for _, e := range x.Document.Section("nftables").Entries {
		if bytes.Contains(e, []byte(`"xt":`)) && bytes.Contains(e, []byte(family)) {
			return true
		}
	}
	return false
}

// sysctls are the switches of the kernel that decide what is forwarded or dropped.
func sysctls() []string {
	out := []string{"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables", "net.bridge.bridge-nf-call-arptables",
		"net.ipv4.ip_forward", "net.ipv4.ip_nonlocal_bind", "net.ipv4.tcp_syncookies", "net.netfilter.nf_conntrack_max"}
	for _, where := range []string{"all", "default"} {
		for _, key := range []string{"forwarding", "rp_filter", "accept_redirects", "send_redirects", "accept_source_route", "proxy_arp", "log_martians", "arp_ignore", "arp_announce"} {
			out = append(out, "net.ipv4.conf."+where+"."+key)
		}
		for _, key := range []string{"forwarding", "accept_ra", "accept_redirects", "disable_ipv6", "autoconf"} {
			out = append(out, "net.ipv6.conf."+where+"."+key)
		}
	}
	return out
}

func (x *Export) sysctl(ctx context.Context, h host.Host) error {
	r, err := h.Run(ctx, host.Command{Args: append([]string{"sysctl", "-e"}, sysctls()...)})
	if errors.Is(err, host.ErrNoProgram) {
		x.Document.Miss("sysctl", "sysctl is not on the host (Debian: procps)")
		return nil
	}
	if err != nil {
		return err
	}
	type setting struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	var list []setting
	for _, line := range strings.Split(string(r.Stdout), "\n") {
		if k, v, ok := strings.Cut(line, " = "); ok {
			list = append(list, setting{strings.TrimSpace(k), strings.TrimSpace(v)})
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("read the kernel's switches: sysctl printed none: %s", firstLine(r.Stderr))
	}
	return ruleset.Add(x.Document, "sysctl", false, list)
}

// guestPorts are interfaces that come and go with guests and containers.
var guestPorts = regexp.MustCompile(`^(tap|veth|fwbr|fwpr|fwln)\w*$`)

func (x *Export) addresses(ctx context.Context, h host.Host) error {
	out, err := host.Output(ctx, h, "ip", "-j", "address", "show")
	if err != nil {
		return err
	}
	type address struct {
		Family    string `json:"family"`
		Local     string `json:"local"`
		Prefixlen int    `json:"prefixlen"`
		Scope     string `json:"scope"`
		Label     string `json:"label,omitempty"`
		Peer      string `json:"address,omitempty"`
		Dynamic   bool   `json:"dynamic,omitempty"`
		Temporary bool   `json:"temporary,omitempty"`
	}
	type link struct {
		Ifname   string    `json:"ifname"`
		LinkType string    `json:"link_type"`
		Address  string    `json:"address,omitempty"`
		MTU      int       `json:"mtu"`
		Master   string    `json:"master,omitempty"`
		Link     string    `json:"link,omitempty"`
		AddrInfo []address `json:"addr_info"`
	}
	var all, kept []link
	if err := json.Unmarshal(out, &all); err != nil {
		return fmt.Errorf("read what ip -j address printed: %w", err)
	}
	for _, l := range all {
		if guestPorts.MatchString(l.Ifname) {
			continue
		}
		var info []address
		for _, a := range l.AddrInfo {
			if !a.Temporary {
				info = append(info, a)
			}
		}
		l.AddrInfo = info
		kept = append(kept, l)
	}
	return ruleset.Add(x.Document, "addresses", false, kept)
}

func (x *Export) routes(ctx context.Context, h host.Host) error {
	for _, fam := range []string{"-4", "-6"} {
		for _, what := range []struct {
			section string
			args    []string
		}{{"routes" + fam, []string{"ip", "-j", fam, "route", "show", "table", "all"}}, {"rules" + fam, []string{"ip", "-j", fam, "rule", "show"}}} {
			out, err := host.Output(ctx, h, what.args...)
			if err != nil {
				return err
			}
			var all, kept []map[string]any
			if len(bytes.TrimSpace(out)) > 0 {
				dec := json.NewDecoder(bytes.NewReader(out))
				dec.UseNumber()
				if err := dec.Decode(&all); err != nil {
					return fmt.Errorf("read what %s printed: %w", strings.Join(what.args, " "), err)
				}
			}
			for _, r := range all {
				dev, _ := r["dev"].(string)
				switch typ, _ := r["type"].(string); {
				case typ == "local" || typ == "broadcast" || typ == "anycast" || typ == "multicast", guestPorts.MatchString(dev):
				default:
					kept = append(kept, r)
				}
			}
			if err := ruleset.Add(x.Document, what.section, strings.HasPrefix(what.section, "rules"), kept, "flags", "expires", "age", "used", "pref", "cache"); err != nil {
				return err
			}
		}
	}
	return nil
}

// bootFile is a file that sets up the network at boot.
type bootFile struct {
	Path string `json:"path"`
	Mode string `json:"mode"`
	Text string `json:"text"`
}

const maxBootFile = 1 << 20

func (x *Export) bootFiles(ctx context.Context, h host.Host) error {
	paths := []string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/nftables.conf", "/etc/network/interfaces", "/etc/sysctl.conf", "/etc/iproute2/rt_tables"}
	for _, dir := range []string{"/etc/network/interfaces.d", "/etc/netplan", "/etc/systemd/network", "/etc/sysctl.d", "/etc/nftables.d", "/etc/iproute2/rt_tables.d"} {
		list, err := h.List(ctx, dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", dir, err)
		}
		for _, f := range list {
			paths = append(paths, path.Join(dir, f.Name()))
		}
	}
	var files []bootFile
	for _, p := range paths {
		st, err := h.Stat(ctx, p)
		if errors.Is(err, os.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
			continue
		}
		if err != nil {
			return fmt.Errorf("look at %s: %w", p, err)
		}
		raw, err := host.ReadFile(ctx, h, p, maxBootFile)
		if err != nil {
			return err
		}
		clean, found, understood := redactFile(p, string(raw))
		switch {
		case !understood:
			x.Document.Miss("file "+p, "it holds a key or password in a form that is not taken apart: nothing of it is exported; keep it in the keyring")
			continue
		case found:
			x.Document.Miss("file "+p, "it holds a key or password, which is not exported: keep it in the keyring")
		}
		files = append(files, bootFile{p, fmt.Sprintf("%04o", st.Mode().Perm()), clean})
	}
	if list, err := h.List(ctx, "/etc/NetworkManager/system-connections"); err == nil && len(list) > 0 {
		x.Document.Miss("file /etc/NetworkManager/system-connections", "NetworkManager keeps passwords in these files: they are not exported")
	}
	return ruleset.Add(x.Document, "files", false, files)
}
