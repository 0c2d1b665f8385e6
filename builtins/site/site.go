// Package site holds what a site.star states: systems, targets, assets, people
// and exceptions. Policies name them; only here do they have addresses.
//
// A secret is named, never written: secret("name") is an opaque reference that a
// primitive resolves from the keyring when it needs it.
package site

import (
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/format/zone"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Secret is a reference to an item of the keyring.
type Secret struct{ Name string }

// StarlarkType implements runtime.TypeNamed.
func (Secret) StarlarkType() string { return "secret" }

// Proxmox is a Proxmox VE cluster, or one node of it standing alone.
type Proxmox struct {
	Name         string
	URLs         []string // https://host:8006, tried in order
	Fingerprints []string // SHA-256 of the certificates that are accepted
	TokenID      string   // user@realm!token
	Token        Secret
	Storage      string            // receives archives
	SSH          map[string]string // node -> user@host:port, to read archives
	HostKeys     map[string]string // node -> public key of its sshd
	SSHKey       Secret
	Asset        string // the row that its guests belong to
}

// Target is a place that holds copies.
type Target struct {
	ledger.TargetFacts
	Place        target.Place // of the URL
	SealedTo     []string
	UUID, Serial string
	HostKey      string
	Key          Secret
	Passphrase   Secret // of a medium's container
	PartSize     int64
	Bandwidth    int64        // bytes a second
	Window       target.Hours // in which it is written
	Login        Secret       // of a foreign store
	Layout       string       // "" or target.LayoutChunks
	Password     Secret       // of a repository of chunks
	MirrorOf     string       // target of layout chunks whose repository lies here, sealed
}

// Keyring says where secrets are kept.
type Keyring struct {
	Backend    string // "file", "secret-service", "keyctl", "pass", "kwallet"
	Dir        string
	Credential string // name below $CREDENTIALS_DIRECTORY
	PassFile   string // a file of mode 0600
	Names      string // "hidden" or "shown" beside sealed copies
}

// Identity is an age identity that is used on this host.
type Identity struct {
	Secret Secret
	OnHost bool
}

// Site is an evaluated site.star.
type Site struct {
	Path       string
	Digest     string
	Proxmox    []*Proxmox
	Hosts      []*Host
	Cloudflare []*Cloudflare
	UniFi      []*UniFi
	Logs       []*Logs
	Targets    []*Target
	Keyring    Keyring
	Identities []Identity
	Custodians []Custodian
	Demands    ledger.Demands
	Groups     []Group // assets that choose their guests
	Allowed    map[string]bool
}

// Load evaluates the text of a site.star.
func Load(path string, text []byte, limits runtime.Limits) (*Site, error) {
	s := &Site{Path: path, Allowed: map[string]bool{}}
	b := &builder{site: s, book: newBook(path, text)}
	b.placeholders()
	digest, err := runtime.EvalSite(path, text, b.constructors(), limits)
	if err == nil {
		b.check()
	}
	if err := b.err(err); err != nil {
		return nil, err
	}
	s.Digest = digest
	for _, t := range s.Targets {
		s.Demands.Targets = append(s.Demands.Targets, t.TargetFacts)
	}
	s.acceptZones()
	s.joinGroups()
	return s, nil
}

// Target returns the target of that name.
func (s *Site) Target(name string) (*Target, error) {
	var names []string
	for _, t := range s.Targets {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return nil, unknown("target", name, names)
}

// System returns the Proxmox of that name; "" means the only one.
func (s *Site) System(name string) (*Proxmox, error) {
	var names []string
	for _, p := range s.Proxmox {
		if p.Name == name || name == "" && len(s.Proxmox) == 1 {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return nil, unknown("proxmox", name, names)
}

func unknown(what, name string, have []string) error {
	sort.Strings(have)
	if len(have) == 0 {
		return fmt.Errorf("the site has no %s\nhint: add %s(name = %q, …) to site.star", what, what, name)
	}
	if name == "" {
		return fmt.Errorf("the site has several: name one of %s", strings.Join(have, ", "))
	}
	return fmt.Errorf("the site has no %s %q\nhint: it has %s", what, name, strings.Join(have, ", "))
}

func (s *Site) hasIdentityOnHost() bool {
	for _, i := range s.Identities {
		if i.OnHost {
			return true
		}
	}
	return false
}

// Expired lists exceptions and deviations whose date has passed.
func (s *Site) Expired(now time.Time) []string {
	var out []string
	for _, x := range s.Demands.Unprotected {
		if !now.Before(x.Until) {
			out = append(out, fmt.Sprintf("unprotected(%s) ended on %s", x.Item, x.Until.Format("2006-01-02")))
		}
	}
	for _, x := range s.Demands.Accepted {
		if !now.Before(x.Until) {
			out = append(out, fmt.Sprintf("accept_gap(%s, %s) ended on %s", x.Item, x.What, x.Until.Format("2006-01-02")))
		}
	}
	for _, d := range s.Demands.Deviations {
		if !now.Before(d.Review) {
			out = append(out, fmt.Sprintf("deviation(%s, %s) was to be reviewed on %s", d.SOP, d.Step, d.Review.Format("2006-01-02")))
		}
	}
	return out
}

func checkURL(text string, schemes ...string) error {
	u, err := url.Parse(text)
	if err != nil {
		return fmt.Errorf("bad URL %q", text)
	}
	if _, secret := u.User.Password(); secret {
		return fmt.Errorf("the URL for %s holds a password: name it with secret(…)", u.Host)
	}
	for _, s := range schemes {
		if u.Scheme == s {
			return nil
		}
	}
	return fmt.Errorf("URL %q: want %s://", text, strings.Join(schemes, ":// or "))
}

// Names lists what policies can name.
func (s *Site) Names() runtime.Names {
	n := runtime.Names{"target": nil, "asset": nil, "proxmox": nil, "system": s.systemNames()}
	for kind := range KindsOfSystems {
		n[kind] = s.Systems(kind)
	}
	for _, z := range n["zone"] {
		if people := zone.Unicode(z); people != z {
			n["zone"] = append(n["zone"], people)
		}
	}
	n["destroy"] = []string{}
	for name := range s.Allowed {
		n["destroy"] = append(n["destroy"], name)
	}
	for _, t := range s.Targets {
		n["target"] = append(n["target"], t.Name)
	}
	for _, a := range s.Demands.Assets {
		n["asset"] = append(n["asset"], a.Name)
	}
	for _, p := range s.Proxmox {
		if _, declared := s.Demands.Asset(p.Asset); !declared && len(s.Groups) > 0 {
			n["asset"] = append(n["asset"], p.Asset) // it stands for its groups, in protects
		}
		n["proxmox"] = append(n["proxmox"], p.Name)
	}
	return n
}

// Secrets are all that the site names, each once, in their order.
func (s *Site) Secrets() (out []Secret) {
	add := func(x Secret) {
		if x.Name != "" && !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	for _, p := range s.Proxmox {
		add(p.Token)
		add(p.SSHKey)
	}
	for _, h := range s.Hosts {
		add(h.Key)
	}
	for _, c := range s.Cloudflare {
		add(c.Token)
	}
	for _, u := range s.UniFi {
		add(u.Password)
	}
	for _, t := range s.Targets {
		add(t.Key)
		add(t.Passphrase)
		add(t.Login)
		add(t.Password)
	}
	for _, i := range s.Identities {
		add(i.Secret)
	}
	return out
}
