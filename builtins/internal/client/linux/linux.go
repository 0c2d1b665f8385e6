// Package linux exports what filters and routes packets on a Linux host: nftables,
// iptables, ebtables and arptables where they are used, forwarding, addresses, routes,
// policy rules, and the files that set them up at boot. It changes nothing.
//
// The programs are those of the host (nft, ip, sysctl, iptables-save, ipset). That
// they can read again what they print is not believed: iptables-save prints a rule of
// nft without what it does not know, and ebtables-save leaves out a limit. So each
// table is loaded into a network namespace of its own on the host (unshare -n, which
// ends with the program and touches no packet), and is listed there. The first of
// these forms that comes back equal holds the table, and no other does:
//
//	ruleset.nft        nft -f
//	iptables.rules …   iptables-restore and its siblings: what holds their matches
//	ruleset.nft.json   nft -j -f: names that nft's own grammar does not take
//
// A table that none of them brings back is a gap by name. How it was printed lies in
// unproven.txt for who has to make it again by hand; nothing loads that file. Where
// the host makes no namespace, what nft -c takes is kept in ruleset.nft, and that it
// was not loaded is a gap.
//
// Texts and JSON lose what changes by itself: counters, handles, lifetimes, the
// interfaces of running guests. The flag of ownership of a table is kept in the
// document and left out of what is loaded: such a table ends with its program.
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
	"strings"
	"unicode/utf8"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// Files that Export makes beside the document, and those of iptables and its
// siblings: "iptables.rules", "iptables-legacy.rules".
const (
	NFT      = "ruleset.nft"
	NFTJSON  = "ruleset.nft.json"
	IPSet    = "ipset.rules"
	Unproven = "unproven.txt"

	UnprovenSets = "unproven-sets.txt"
)

// Export is a host's state.
type Export struct {
	Document *ruleset.Document
	Names    []string // of files, in order
	Files    map[string][]byte

	links []string // names of interfaces
}

func (x *Export) file(name string, content []byte, a ruleset.Accepted) {
	x.Names = append(x.Names, name)
	x.Files[name] = content
	sum := sha256.Sum256(content)
	a.File, a.SHA256 = name, hex.EncodeToString(sum[:])
	x.Document.Checked = append(x.Document.Checked, a)
}

// Read exports a host's state. Errors are those of the host and *host.ExitError;
// without nft or ip there is no export.
func Read(ctx context.Context, h host.Host) (*Export, error) {
	x := &Export{Document: &ruleset.Document{System: h.Name(), Vendor: "linux"}, Files: map[string][]byte{}}
	for _, part := range []func(context.Context, host.Host) error{x.addresses, x.filter, x.sysctl, x.routes, x.bootFiles} {
		if err := part(ctx, h); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// sysctls are the switches of the kernel that decide what is forwarded or dropped.
func sysctls() []string {
	out := []string{"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables", "net.bridge.bridge-nf-call-arptables",
		"net.ipv4.ip_forward", "net.ipv4.ip_nonlocal_bind", "net.ipv4.tcp_syncookies", "net.netfilter.nf_conntrack_max"}
	for _, where := range []string{"all", "default"} {
		for _, key := range []string{"forwarding", "rp_filter", "accept_redirects", "send_redirects", "accept_source_route", "proxy_arp",
			"log_martians", "arp_ignore", "arp_announce"} {
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
		x.links = append(x.links, l.Ifname)
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
		}{{"routes" + fam, []string{"ip", "-j", fam, "route", "show", "table", "all"}},
			{"rules" + fam, []string{"ip", "-j", fam, "rule", "show"}}} {
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
			if err := ruleset.Add(x.Document, what.section, strings.HasPrefix(what.section, "rules"), kept, "flags", "expires", "age", "used",
				"pref", "cache"); err != nil {
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
	Raw  []byte `json:"raw,omitempty"` // instead of a text that is not UTF-8
}

const maxBootFile = 1 << 20

// bootFiles exports them. One that cannot be read is a gap, and costs no other.
func (x *Export) bootFiles(ctx context.Context, h host.Host) error {
	paths := []string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/nftables.conf", "/etc/network/interfaces", "/etc/sysctl.conf",
		"/etc/iproute2/rt_tables"}
	for _, dir := range []string{"/etc/network/interfaces.d", "/etc/netplan", "/etc/systemd/network", "/etc/sysctl.d", "/etc/nftables.d",
		"/etc/iproute2/rt_tables.d"} {
		list, err := h.List(ctx, dir)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			x.Document.Miss("folder "+dir, "it cannot be listed: "+err.Error())
		}
		for _, f := range list {
			paths = append(paths, path.Join(dir, f.Name()))
		}
	}
	var files []bootFile
	for _, p := range paths {
		f, why, err := readBootFile(ctx, h, p)
		if err != nil {
			return err
		}
		if why != "" {
			x.Document.Miss("file "+strings.ToValidUTF8(p, "?"), why)
		}
		if f != nil {
			files = append(files, *f)
		}
	}
	if list, err := h.List(ctx, "/etc/NetworkManager/system-connections"); err == nil && len(list) > 0 {
		x.Document.Miss("file /etc/NetworkManager/system-connections", "NetworkManager keeps passwords in these files: they are not exported")
	}
	return ruleset.Add(x.Document, "files", false, files)
}

// readBootFile reads one file, or says why nothing or not all of it is exported.
func readBootFile(ctx context.Context, h host.Host, p string) (*bootFile, string, error) {
	st, err := h.Stat(ctx, p)
	if errors.Is(err, os.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
		return nil, "", nil
	}
	var raw []byte
	if err == nil {
		raw, err = host.ReadFile(ctx, h, p, maxBootFile)
	}
	switch {
	case errors.Is(err, os.ErrNotExist): // removed since it was listed
		return nil, "", nil
	case err != nil && ctx.Err() != nil:
		return nil, "", err
	case err != nil:
		return nil, "it cannot be read: " + err.Error(), nil
	case !utf8.ValidString(p):
		return nil, "its name is not UTF-8: keep it elsewhere", nil
	}
	clean, found, understood := redactFile(p, string(raw))
	if !understood {
		return nil, "it holds a key or password in a form that is not taken apart: nothing of it is exported; keep it in the keyring", nil
	}
	f := &bootFile{Path: p, Mode: fmt.Sprintf("%04o", st.Mode().Perm()), Text: clean}
	if !utf8.ValidString(clean) {
		f.Text, f.Raw = "", []byte(clean)
	}
	if found {
		return f, "it holds a key or password, which is not exported: keep it in the keyring", nil
	}
	return f, "", nil
}
