package site

import (
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/tlspin"
	"github.com/neosofia/runner/builtins/internal/format/zone"
	"go.starlark.net/starlark"
)

// Host is a machine: this one, or one that is reached over SSH.
type Host struct {
	Name     string
	Local    bool
	SSH      string // user@host:port
	HostKey  string
	Key      Secret
	Rear     bool // Relax-and-Recover saves it
	Firewall bool // its packet filter and network are exported
}

// Cloudflare is an account's token, and the zones that it protects.
type Cloudflare struct {
	Name         string
	Token        Secret
	Zones        []string
	Account      string // id; "" is the account of the zones
	URL          string // of the API
	Fingerprints []string
}

// UniFi is a gateway's console.
type UniFi struct {
	Name         string
	URL          string
	Fingerprints []string
	User         string
	Password     Secret
	Site         string
}

// Logs is a source of logs on a host.
type Logs struct {
	Name     string
	Host     string
	Journal  bool
	Files    []string // patterns of absolute paths
	PVETasks bool
	Ledger   bool
	Silent   time.Duration // longer silence is an alarm
}

// Folders are those that its patterns of files lie in, as deep as these name them.
func (l *Logs) Folders() (out []string) {
	for _, pattern := range l.Files {
		dir := path.Dir(pattern)
		for strings.ContainsAny(dir, "*?[") {
			dir = path.Dir(dir)
		}
		out = append(out, dir)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

type hostArgs struct {
	Name     string `star:"name" doc:"how policies name it"`
	Local    bool   `star:"local?" doc:"it is the machine that runner runs on"`
	SSH      string `star:"ssh?" doc:"root@host:port"`
	HostKey  string `star:"host_key?" doc:"its public host keys, one a line (ssh-ed25519 AAAA…)"`
	Key      Secret `star:"ssh_key?" doc:"secret(…) of the private key"`
	Rear     *bool  `star:"rear?" doc:"Relax-and-Recover saves it; default True"`
	Firewall *bool  `star:"firewall?" doc:"its packet filter and network settings are exported; default True"`
}

func (b *builder) host(a *hostArgs) (starlark.Value, error) {
	var wrong []error
	if a.Local == (a.SSH != "") {
		wrong = append(wrong, errors.New("say either local = True or ssh = \"root@host:22\""))
	}
	if a.SSH != "" && a.HostKey == "" {
		wrong = append(wrong, bad("ssh",
			"host_key is missing: a host key is always checked (ssh-keyscan -t ed25519 HOST, compared on its console)"))
	}
	if a.SSH != "" && a.HostKey != "" && a.Key.Name == "" {
		wrong = append(wrong, bad("ssh", "ssh_key is missing: name it with secret(…)"))
	}
	yes := func(p *bool) bool { return p == nil || *p }
	b.site.Hosts = append(b.site.Hosts, &Host{a.Name, a.Local, a.SSH, a.HostKey, a.Key, yes(a.Rear), yes(a.Firewall)})
	return nil, errors.Join(append(wrong, b.named(a.Name))...)
}

type cloudflareArgs struct {
	Name         string   `star:"name" doc:"how policies name it"`
	Token        Secret   `star:"token" doc:"secret(…) of an API token that may read, and nothing else"`
	Zones        []string `star:"zones" doc:"the zones that are protected"`
	Account      string   `star:"account?" doc:"id of the account; default: the zones'"`
	URL          string   `star:"url?" doc:"of the API; default https://api.cloudflare.com/client/v4"`
	Fingerprints []string `star:"fingerprints?" doc:"SHA-256 of certificates that are accepted instead of public ones"`
}

func (b *builder) cloudflare(a *cloudflareArgs) (starlark.Value, error) {
	if a.URL == "" {
		a.URL = "https://api.cloudflare.com/client/v4"
	}
	var wrong []error
	if err := checkURL(a.URL, "https"); err != nil {
		wrong = append(wrong, bad("url", "%w", err))
	}
	wrong = append(wrong, pins(a.Fingerprints, showPin)...)
	for i, z := range a.Zones {
		a.Zones[i] = zone.Name(z)
		if !strings.Contains(z, ".") {
			wrong = append(wrong, bad("zones", "zone %q is not a name of a domain", z))
		}
		for _, c := range b.site.Cloudflare {
			if slices.Contains(c.Zones, a.Zones[i]) {
				wrong = append(wrong, bad("zones", "zone %s is in %s already", z, c.Name))
			}
		}
	}
	b.site.Cloudflare = append(b.site.Cloudflare, &Cloudflare{a.Name, a.Token, a.Zones, a.Account, strings.TrimSuffix(a.URL, "/"),
		a.Fingerprints})
	return nil, errors.Join(append(wrong, b.named(a.Name))...)
}

type unifiArgs struct {
	Name         string   `star:"name" doc:"how policies name it"`
	URL          string   `star:"url" doc:"https://host of the console, or https://host:8443 of a controller"`
	Fingerprints []string `star:"fingerprints" doc:"SHA-256 of the certificates that are accepted"`
	User         string   `star:"user" doc:"a local administrator without a second factor"`
	Password     Secret   `star:"password" doc:"secret(…) of its password"`
	Site         string   `star:"site?" doc:"the controller's site; default: default"`
}

func (b *builder) unifi(a *unifiArgs) (starlark.Value, error) {
	var wrong []error
	if err := checkURL(a.URL, "https"); err != nil {
		wrong = append(wrong, bad("url", "%w", err))
	}
	if len(a.Fingerprints) == 0 {
		wrong = append(wrong, bad("fingerprints",
			"fingerprints is empty: a certificate is always checked; %s shows it", showPin))
	}
	wrong = append(wrong, pins(a.Fingerprints, showPin)...)
	if a.Site == "" {
		a.Site = "default"
	}
	b.site.UniFi = append(b.site.UniFi, &UniFi{a.Name, strings.TrimSuffix(a.URL, "/"), a.Fingerprints, a.User, a.Password, a.Site})
	return nil, errors.Join(append(wrong, b.named(a.Name))...)
}

type logsArgs struct {
	Name     string        `star:"name" doc:"how policies name it"`
	Host     string        `star:"host?" doc:"host(…) that they are on; not for the ledger"`
	Journal  bool          `star:"journal?" doc:"the systemd journal"`
	Files    []string      `star:"files?" doc:"patterns of log files, with their rotated ones: /var/log/nginx/*.log"`
	PVETasks bool          `star:"pve_tasks?" doc:"the task logs of a Proxmox VE node"`
	Ledger   bool          `star:"ledger?" doc:"runner's own record"`
	Silent   time.Duration `star:"silent?" doc:"longer silence than this is an alarm; left out: none"`
}

func (b *builder) logs(a *logsArgs) (starlark.Value, error) {
	kinds := 0
	for _, is := range []bool{a.Journal, len(a.Files) > 0, a.PVETasks, a.Ledger} {
		if is {
			kinds++
		}
	}
	var wrong []error
	if kinds != 1 {
		wrong = append(wrong, errors.New("say one of journal = True, files = […], pve_tasks = True, ledger = True"))
	}
	if a.Ledger == (a.Host != "") {
		wrong = append(wrong, errors.New("host names the machine that the logs are on; the ledger is runner's own and has none"))
	}
	for _, f := range a.Files {
		if !path.IsAbs(f) || path.Clean(f) != f {
			wrong = append(wrong, bad("files", "files: %q: want an absolute path without dots that lead up", f))
		} else if _, err := path.Match(f, ""); err != nil {
			wrong = append(wrong, bad("files", "files: %q: %v", f, err))
		}
	}
	for _, l := range b.site.Logs {
		if l.Name == a.Name {
			wrong = append(wrong, bad("name", "%q is declared twice", a.Name))
		}
	}
	b.site.Logs = append(b.site.Logs, &Logs{a.Name, a.Host, a.Journal, a.Files, a.PVETasks, a.Ledger, a.Silent})
	return nil, errors.Join(wrong...)
}

// showPin is a command that shows the fingerprint of a certificate.
const showPin = "openssl s_client -connect HOST:443 | openssl x509 -noout -fingerprint -sha256"

// pins refuses what is no fingerprint of a certificate; placeholders are faults already.
func pins(fingerprints []string, show string) (wrong []error) {
	for _, f := range fingerprints {
		if _, err := tlspin.Parse(f); err != nil && !placeholder(f) {
			wrong = append(wrong, badKey("fingerprints", f, "%w\nhint: %s shows it", err, show))
		}
	}
	return wrong
}

// named refuses a second system of one name: policies could not tell them apart.
func (b *builder) named(name string) error {
	seen := 0
	for _, n := range b.site.systemNames() {
		if n == name {
			seen++
		}
	}
	if seen > 1 {
		return bad("name", "%q is declared twice: systems need names of their own", name)
	}
	return nil
}

func (s *Site) systemNames() (out []string) {
	for _, p := range s.Proxmox {
		out = append(out, p.Name)
	}
	for _, h := range s.Hosts {
		out = append(out, h.Name)
	}
	for _, c := range s.Cloudflare {
		out = append(out, c.Name)
	}
	for _, u := range s.UniFi {
		out = append(out, u.Name)
	}
	return out
}

// Host returns the host of that name.
func (s *Site) Host(name string) (*Host, error) {
	return named("host", name, s.Hosts, func(h *Host) string { return h.Name })
}

// CloudflareOf returns the Cloudflare that has a zone, under either name of it.
func (s *Site) CloudflareOf(name string) (*Cloudflare, error) {
	var all []string
	for _, c := range s.Cloudflare {
		for _, z := range c.Zones {
			if z == zone.Name(name) {
				return c, nil
			}
			all = append(all, z)
		}
	}
	return nil, unknown("zone", name, all)
}

// acceptZones lets a gap of a zone be accepted under either name of it.
func (s *Site) acceptZones() {
	for i, x := range s.Demands.Accepted {
		if slices.Contains(s.Systems("zone"), zone.Name(x.Item)) {
			s.Demands.Accepted[i].Item = zone.Name(x.Item)
		}
	}
}

// CloudflareNamed returns the Cloudflare of that name.
func (s *Site) CloudflareNamed(name string) (*Cloudflare, error) {
	return named("cloudflare", name, s.Cloudflare, func(c *Cloudflare) string { return c.Name })
}

// UniFiNamed returns the console of that name.
func (s *Site) UniFiNamed(name string) (*UniFi, error) {
	return named("unifi", name, s.UniFi, func(u *UniFi) string { return u.Name })
}

// LogsNamed returns the source of logs of that name.
func (s *Site) LogsNamed(name string) (*Logs, error) {
	return named("logs", name, s.Logs, func(l *Logs) string { return l.Name })
}

func named[T any](what, name string, list []T, of func(T) string) (T, error) {
	var names []string
	for _, x := range list {
		if of(x) == name || name == "" && len(list) == 1 {
			return x, nil
		}
		names = append(names, of(x))
	}
	var none T
	return none, unknown(what, name, names)
}

// KindsOfSystems are what Systems can be asked for, with the row of the SOP's
// table that each belongs to unless a policy names another.
var KindsOfSystems = map[string]string{
	"host": "operating_systems", "zone": "public_dns", "firewall": "networking", "keyring": "credentials", "logs": "system_logs",
}

// Systems are the names of a kind, in the order of site.star.
func (s *Site) Systems(kind string) (out []string) {
	switch kind {
	case "host":
		for _, h := range s.Hosts {
			if h.Rear {
				out = append(out, h.Name)
			}
		}
	case "zone":
		for _, c := range s.Cloudflare {
			out = append(out, c.Zones...)
		}
	case "firewall":
		skip := map[string]bool{}
		for _, h := range s.Hosts {
			skip[h.Name] = !h.Firewall
		}
		for _, n := range s.systemNames() {
			if !skip[n] {
				out = append(out, n)
			}
		}
	case "keyring":
		out = []string{"keyring"}
	case "logs":
		for _, l := range s.Logs {
			out = append(out, l.Name)
		}
	}
	return out
}
