package site

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

// builder collects what the constructors of one site.star state, and what is wrong in it.
type builder struct {
	site *Site
	*book
}

// constructor is one function of a site.star.
type constructor struct {
	Name   string
	Doc    string
	Params []runtime.Param
	call   func(fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, []error)
}

func construct[A any](name, doc string, apply func(*A) (starlark.Value, error)) constructor {
	return constructor{name, doc, runtime.Params[A](), func(fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value,
		[]error) {
		a := new(A)
		errs := runtime.UnpackAll(fn, a, args, kwargs)
		if slices.ContainsFunc(errs, func(err error) bool { return !errors.As(err, new(*runtime.ArgumentError)) }) {
			return nil, errs // what is missing altogether would only be reported twice
		}
		v, err := apply(a)
		return v, append(errs, err)
	}}
}

// constructors are the functions of a site.star. None of them fails: what is wrong is
// noted, and the rest of the file is read, so that all is reported at once.
func (b *builder) constructors() starlark.StringDict {
	env := starlark.StringDict{}
	for _, c := range b.list() {
		env[c.Name] = starlark.NewBuiltin(c.Name, func(thread *starlark.Thread, fn *starlark.Builtin, args starlark.Tuple,
			kwargs []starlark.Tuple) (starlark.Value, error) {
			call, pos := b.caller(thread)
			v, errs := c.call(fn.Name(), args, kwargs)
			name := nameOf(kwargs)
			if errs = flat(errs); len(errs) > 0 {
				b.broken[name] = true
			}
			if key := fn.Name() + " " + name; b.made[key] == nil {
				b.made[key] = call
			}
			b.book.call(fn.Name(), call, pos, errs)
			if v == nil {
				v = starlark.None
			}
			return v, nil
		})
	}
	return env
}

// nameOf is the name that a call gives to what it declares.
func nameOf(kwargs []starlark.Tuple) string {
	for _, kv := range kwargs {
		if key, _ := starlark.AsString(kv[0]); key == "name" || key == "set" {
			name, _ := starlark.AsString(kv[1])
			return name
		}
	}
	return ""
}

// Docs describes the constructors, for runner builtins.
func Docs() []struct {
	Name, Doc string
	Params    []runtime.Param
} {
	var out []struct {
		Name, Doc string
		Params    []runtime.Param
	}
	for _, c := range (&builder{site: &Site{}, book: newBook("", nil)}).list() {
		out = append(out, struct {
			Name, Doc string
			Params    []runtime.Param
		}{c.Name, c.Doc, c.Params})
	}
	return out
}

// CheckSecretName refuses names that a keyring could take for a path.
func CheckSecretName(name string) error {
	ok := name != "" && len(name) <= 100 && !strings.Contains(name, "..") && name[0] != '/' && name[0] != '.'
	for _, r := range name {
		ok = ok && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._/-", r))
	}
	if !ok {
		return fmt.Errorf("bad name of a secret %q: want a-z, 0-9, '.', '_', '-', '/'", name)
	}
	return nil
}

func (b *builder) list() []constructor {
	return []constructor{
		construct("secret", "a secret of the keyring, by its name: it never stands in site.star", secretOf),
		construct("keyring", "where secrets are kept on this machine; without it: the file backend in the state directory", b.keyring),
		construct("proxmox", "a Proxmox VE cluster whose guests are backed up", b.proxmox),
		construct("host", "a machine: Relax-and-Recover saves it, its firewall and logs are exported", b.host),
		construct("cloudflare", "DNS zones, tunnels and rules at Cloudflare", b.cloudflare),
		construct("unifi", "a UniFi gateway", b.unifi),
		construct("logs", "a source of logs", b.logs),
		construct("target", "a place that holds copies", b.target),
		construct("media", "media that travel in turn: a copy on one of them is enough, and they are due together", b.media),
		construct("asset", "a row of the SOP's table, and what is demanded of its copies", b.asset),
		construct("tagged", "guests with a tag of Proxmox VE, for guests of asset(…)", tagged),
		construct("pool", "guests of a pool of Proxmox VE, for guests of asset(…)", pool),
		construct("custodian", "who keeps a share of what opens the sealed secrets", b.custodian),
		construct("identity", "an age identity that this host may use to open sealed copies", b.identity),
		construct("allow", "what the site allows: primitives that remove things", b.allow),
		construct("unprotected", "a guest that is left out on purpose", b.unprotected),
		construct("accept_gap", "a gap in an artifact that is accepted", b.acceptGap),
		construct("deviation", "where the SOP is not followed to the letter", b.deviation),
	}
}

type secretArgs struct {
	Name string `star:"name" doc:"as runner secret set NAME stored it: a-z, 0-9, '.', '_', '-', '/'"`
}

func secretOf(a *secretArgs) (starlark.Value, error) {
	if err := CheckSecretName(a.Name); err != nil {
		return runtime.NewOpaque(Secret{}), bad("name", "%w", err)
	}
	return runtime.NewOpaque(Secret{a.Name}), nil
}

type keyringArgs struct {
	Backend    string `star:"backend?" doc:"file (default), secret-service, keyctl, pass, kwallet"`
	Dir        string `star:"dir?" doc:"folder of the file backend"`
	Credential string `star:"password_credential?" doc:"systemd credential that holds the password of the file backend"`
	PassFile   string `star:"password_file?" doc:"file of mode 0600 that holds it"`
	Names      string `star:"names?" doc:"hidden (default) or shown: whether the index beside sealed copies names the secrets"`
}

func (b *builder) keyring(a *keyringArgs) (starlark.Value, error) {
	switch a.Backend {
	case "", "file", "secret-service", "keyctl", "pass", "kwallet":
	default:
		return nil, bad("backend", "unknown backend %q: want file, secret-service, keyctl, pass or kwallet", a.Backend)
	}
	if a.Names == "" {
		a.Names = "hidden"
	}
	if a.Names != "hidden" && a.Names != "shown" {
		return nil, bad("names", "names %q: want hidden or shown", a.Names)
	}
	b.site.Keyring = Keyring{a.Backend, a.Dir, a.Credential, a.PassFile, a.Names}
	return nil, nil
}

type proxmoxArgs struct {
	Name         string            `star:"name" doc:"how policies name it"`
	URL          string            `star:"url?" doc:"https://host:8006"`
	URLs         []string          `star:"urls?" doc:"several nodes of one cluster, tried in order"`
	Fingerprints []string          `star:"fingerprints" doc:"SHA-256 fingerprints of the certificates that are accepted (pvenode cert info)"`
	TokenID      string            `star:"token_id" doc:"user@realm!token"`
	Token        Secret            `star:"token" doc:"secret(…) of the API token"`
	Storage      string            `star:"storage" doc:"storage that receives the archives"`
	SSH          map[string]string `star:"ssh?" doc:"node -> user@host:port, to read archives when runner is not on that node"`
	HostKeys     map[string]string `star:"host_keys?" doc:"node -> public host keys, one a line (ssh-ed25519 AAAA…)"`
	SSHKey       Secret            `star:"ssh_key?" doc:"secret(…) of the private key"`
	Asset        string            `star:"asset?" doc:"asset that its guests belong to; default virtual_machines"`
}

func (b *builder) proxmox(a *proxmoxArgs) (starlark.Value, error) {
	urls := a.URLs
	if a.URL != "" {
		urls = append([]string{a.URL}, urls...)
	}
	var wrong []error
	if len(urls) == 0 {
		wrong = append(wrong, errors.New("missing argument for url"))
	}
	for i, u := range urls {
		if err := checkURL(u, "https"); err != nil && i == 0 && a.URL != "" {
			wrong = append(wrong, bad("url", "%w", err))
		} else if err != nil {
			wrong = append(wrong, bad("urls", "%w", err))
		}
	}
	if len(a.Fingerprints) == 0 {
		wrong = append(wrong, bad("fingerprints", "fingerprints is empty: a certificate is always checked; pvenode cert info shows it"))
	}
	wrong = append(wrong, pins(a.Fingerprints, "pvenode cert info")...)
	if !strings.Contains(a.TokenID, "@") || !strings.Contains(a.TokenID, "!") {
		wrong = append(wrong, bad("token_id", "token_id %q: want user@realm!token", a.TokenID))
	}
	for _, node := range sortedKeys(a.SSH) {
		if a.HostKeys[node] == "" {
			wrong = append(wrong, badKey("ssh", node,
				"ssh names node %s, host_keys does not: a host key is always checked (ssh-keyscan -t ed25519 %s, compared on its console)", node, node))
		}
	}
	if a.Asset == "" {
		a.Asset = "virtual_machines"
	}
	b.site.Proxmox = append(b.site.Proxmox, &Proxmox{a.Name, urls, a.Fingerprints, a.TokenID, a.Token, a.Storage, a.SSH, a.HostKeys, a.SSHKey,
		a.Asset})
	return nil, errors.Join(append(wrong, b.named(a.Name))...)
}

type assetArgs struct {
	Name      string            `star:"name" doc:"how policies name it"`
	Title     string            `star:"title?" doc:"the SOP's words"`
	RPO       time.Duration     `star:"rpo?" doc:"recovery point objective: how old the newest proven copy may be; left out: N/A"`
	RTO       time.Duration     `star:"rto?" doc:"recovery time objective; left out: N/A"`
	Every     time.Duration     `star:"every?" doc:"how often its policy runs, where the RPO is N/A: status reports when it did not; left out: as often as it lately was"`
	Retention time.Duration     `star:"retention?" doc:"saved for at least so long; left out: N/A"`
	Reread    time.Duration     `star:"reread?" doc:"every byte of every copy that is kept is read back at least so often; left out: once, when it was written"`
	Online    string            `star:"online?" doc:"online copies, in the SOP's words: 1 full + 27 incr."`
	Keep      int               `star:"keep?" doc:"the full copies that online means until there are incremental ones: 28"`
	Copies    int               `star:"copies?" doc:"3 of 3-2-1-1-0: copies on devices of their own"`
	Media     int               `star:"media?" doc:"2 of 3-2-1-1-0"`
	Offsite   int               `star:"offsite?" doc:"1 of 3-2-1-1-0"`
	Offline   int               `star:"offline?" doc:"1 of 3-2-1-1-0"`
	On        map[string]string `star:"on?" doc:"target, or set of media -> level of proof: stored, read, opened"`
	Guests    *Choice           `star:"guests?" doc:"the guests that belong to it: tagged(…), pool(…), a list of names, or a list of all of them; left out: those that no other asset chooses, where proxmox names this one"`
	Items     []string          `star:"items?" doc:"what it consists of; left out: the inventory decides"`
	Note      string            `star:"note?" doc:"a conflict in the SOP, say; status shows it"`
}

func (b *builder) asset(a *assetArgs) (starlark.Value, error) {
	if _, twice := b.site.Demands.Asset(a.Name); twice {
		return nil, bad("name", "%q is declared twice", a.Name)
	}
	row := ledger.AssetDemand{Name: a.Name, Title: a.Title, RPO: a.RPO, RTO: a.RTO, Every: a.Every, Retention: a.Retention,
		Reread: a.Reread, Online: a.Online,
		Keep:   a.Keep,
		Copies: a.Copies, Media: a.Media, Offsite: a.Offsite, Offline: a.Offline, Items: a.Items, Note: a.Note}
	if row.Title == "" {
		row.Title = row.Name
	}
	wrong := []error{b.group(a.Name, a.Guests)}
	for _, name := range sortedKeys(a.On) {
		level, ok := ledger.ParseLevel(a.On[name])
		if !ok || level > ledger.Opened {
			wrong = append(wrong, badKey("on", name, "on: %s: %q is not a level of proof that a nightly run can reach: want stored, read or opened",
				name, a.On[name]))
		}
		row.On = append(row.On, ledger.CopyDemand{Target: name, Level: level})
	}
	b.site.Demands.Assets = append(b.site.Demands.Assets, row)
	return nil, errors.Join(wrong...)
}

func sortedKeys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

type identityArgs struct {
	Secret Secret `star:"secret" doc:"secret(…) of the age identity"`
	OnHost bool   `star:"on_host?" doc:"True: this host can open the sealed copies that it makes, and so can who breaks into it"`
}

func (b *builder) identity(a *identityArgs) (starlark.Value, error) {
	if !a.OnHost {
		return nil, errors.New("an identity in site.star lies on this host: say so with on_host = True, or leave it out")
	}
	b.site.Identities = append(b.site.Identities, Identity{a.Secret, a.OnHost})
	return nil, nil
}

type allowArgs struct {
	Destroy []string `star:"destroy" doc:"primitives that may remove things in this site: prune, destroy_vm"`
}

func (b *builder) allow(a *allowArgs) (starlark.Value, error) {
	for _, name := range a.Destroy {
		b.site.Allowed[name] = true
	}
	return nil, nil
}

type unprotectedArgs struct {
	Guest  string    `star:"guest" doc:"name of the guest"`
	Reason string    `star:"reason" doc:"why"`
	Until  time.Time `star:"until" doc:"date on which the exception ends"`
}

func (b *builder) unprotected(a *unprotectedArgs) (starlark.Value, error) {
	b.site.Demands.Unprotected = append(b.site.Demands.Unprotected, ledger.Exception{Item: a.Guest, Reason: a.Reason, Until: a.Until})
	return nil, nil
}

type acceptGapArgs struct {
	Item   string    `star:"item" doc:"whose artifact has the gap: a guest's name"`
	Gap    string    `star:"gap?" doc:"the gap as show names it: disk scsi1; left out: every gap of the item"`
	Reason string    `star:"reason" doc:"why"`
	Until  time.Time `star:"until" doc:"date on which the exception ends"`
}

func (b *builder) acceptGap(a *acceptGapArgs) (starlark.Value, error) {
	b.site.Demands.Accepted = append(b.site.Demands.Accepted, ledger.Exception{Item: a.Item, What: a.Gap, Reason: a.Reason, Until: a.Until})
	return nil, nil
}

type deviationArgs struct {
	SOP        string    `star:"sop" doc:"the SOP"`
	Step       string    `star:"step" doc:"its step that is not followed"`
	Instead    string    `star:"instead" doc:"what is done instead"`
	ApprovedBy string    `star:"approved_by" doc:"who approved it"`
	Review     time.Time `star:"review" doc:"date of the next review"`
}

func (b *builder) deviation(a *deviationArgs) (starlark.Value, error) {
	b.site.Demands.Deviations = append(b.site.Demands.Deviations, ledger.Deviation{SOP: a.SOP, Step: a.Step, Instead: a.Instead,
		ApprovedBy: a.ApprovedBy, Review: a.Review})
	return nil, nil
}
