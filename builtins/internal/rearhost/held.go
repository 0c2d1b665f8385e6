package rearhost

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/rear"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime"
)

// held says which targets could lie on the host: folders when runner runs there,
// storages of Proxmox that count in place, folders of its own SSH server, and disks
// by what they are.
func (j *look) held(ctx context.Context, sh *site.Host) (out []rear.Held, err error) {
	var own *addresses
	for _, t := range j.w.Site.Targets {
		h := rear.Held{Target: t.Name, UUID: t.UUID, Serial: t.Serial}
		switch {
		case t.Place.Local && sh.Local:
			h.Path = t.Place.Folder()
		case t.Place.InPlace:
			_, storage := t.Place.Storage()
			for _, s := range j.facts.Storages {
				if s.ID == storage && s.Set["path"] != "" {
					h.Path = s.Set["path"]
				}
			}
		case t.Place.Keyed:
			if own == nil {
				if own, err = j.addresses(ctx, sh); err != nil {
					return nil, err
				}
			}
			if own.are(ctx, t.Place.URL.Hostname()) {
				if h.Path, err = j.folder(ctx, t.Place.URL); err != nil {
					return nil, err
				}
			}
		}
		out = append(out, h)
	}
	return out, nil
}

// folder is the path of an sftp URL on the host: "/~/x" is x in its user's home.
func (j *look) folder(ctx context.Context, u *url.URL) (string, error) {
	rest, home := strings.CutPrefix(u.Path+"/", "/~/")
	if !home {
		return path.Clean(u.Path), nil
	}
	users, err := j.text(ctx, "/etc/passwd")
	for line := range strings.Lines(users) {
		if w := strings.Split(strings.TrimSpace(line), ":"); len(w) >= 6 && w[0] == u.User.Username() {
			return path.Join("/", w[5], rest), err
		}
	}
	return path.Join("/home", u.User.Username(), rest), err
}

// text reads a small file of the host; "" when it is not there.
func (j *look) text(ctx context.Context, file string) (string, error) {
	b, err := host.ReadFile(ctx, j.m.Host, file, maxLayout)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return string(b), err
}

// addresses are the names and addresses that a host answers to.
type addresses struct {
	names   []string
	list    []netip.Addr
	resolve bool // names may be asked for: not in a lab
	clock   runtime.Clock
}

func (j *look) addresses(ctx context.Context, sh *site.Host) (*addresses, error) {
	a := &addresses{names: []string{strings.ToLower(j.facts.Host), strings.ToLower(sh.Name)}, resolve: j.w.Env.Root == "", clock: j.clock}
	if sh.Local {
		a.names = append(a.names, "localhost")
		a.list = append(a.list, netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback())
	}
	trie, err := j.text(ctx, "/proc/net/fib_trie")
	if err != nil {
		return nil, err
	}
	six, err := j.text(ctx, "/proc/net/if_inet6")
	if err != nil {
		return nil, err
	}
	a.list = append(a.list, localAddresses(trie, six)...)
	if _, at, ok := strings.Cut(sh.SSH, "@"); ok {
		if name, _, err := net.SplitHostPort(at); err == nil {
			at = name
		}
		at = strings.ToLower(strings.Trim(at, "[]"))
		a.names = append(a.names, at)
		a.list = append(a.list, a.lookup(ctx, at)...)
	}
	return a, nil
}

// are reports whether a name or address is one of them.
func (a *addresses) are(ctx context.Context, name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return slices.Contains(a.names, name) ||
		slices.ContainsFunc(a.lookup(ctx, name), func(ip netip.Addr) bool { return slices.Contains(a.list, ip) })
}

// lookup gives the addresses of a name; none when nobody knows it.
func (a *addresses) lookup(ctx context.Context, name string) (out []netip.Addr) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{ip.Unmap().WithZone("")}
	}
	if !a.resolve {
		return nil
	}
	ctx, cancel := a.clock.Within(ctx, 5*time.Second, errors.New("no answer within 5 s"))
	defer cancel()
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil // a target that cannot be found is not looked for on this host
	}
	for _, ip := range list {
		out = append(out, ip.Unmap().WithZone(""))
	}
	return out
}

// localAddresses reads the kernel's own addresses: fib_trie names each before
// "/32 host LOCAL", if_inet6 begins each line with one. Those of the loopback are
// left out: every machine has them.
func localAddresses(trie, six string) (out []netip.Addr) {
	add := func(ip netip.Addr, err error) {
		if err == nil && !ip.IsLoopback() && !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	last := ""
	for line := range strings.Lines(trie) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "|-- "); ok {
			last = rest
		} else if strings.HasPrefix(line, "/32 host LOCAL") {
			add(netip.ParseAddr(last))
		}
	}
	for line := range strings.Lines(six) {
		w := strings.Fields(line)
		if len(w) == 0 || len(w[0]) != 32 {
			continue
		}
		var groups []string
		for i := 0; i < 32; i += 4 {
			groups = append(groups, w[0][i:i+4])
		}
		add(netip.ParseAddr(strings.Join(groups, ":")))
	}
	return out
}
