package exportfirewall

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/linux"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/client/unifi"
	"github.com/neosofia/runner/builtins/internal/format/ruleset"
	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/internal/spool"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Request is what a policy asks for; export_firewall documents its arguments.
type Request struct {
	System string
	Asset  string
	MaxAge time.Duration
}

// ruleExport is what one vendor gave.
type ruleExport struct {
	doc    *ruleset.Document
	names  []string // of files beside the document
	files  map[string][]byte
	source string
	token  string // of a system that names the rights which its token lacks

	findings []ledger.Finding
	open     []ledger.Gap // targets on which its secrets would lie open
}

// Export exports the rules of a system.
func Export(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	w := systems.Of(s)
	asset, err := w.Asset(a.Asset, "networking")
	if err != nil {
		return runtime.Result{}, err
	}
	x, err := readFirewall(ctx, s, w, a)
	if err != nil {
		return runtime.Result{}, err
	}
	text, err := x.doc.Encode()
	if err != nil {
		return runtime.Result{}, err
	}
	if lost, err := x.doc.Unplaced(); err != nil || len(lost) > 0 {
		return runtime.Result{}, errors.Join(err, errors.New(strings.Join(lost, "; "))) // the exporter's own mistake
	}
	if lost := x.doc.Unresolved(); len(lost) > 0 {
		return runtime.Result{}, &failure.Error{Code: CodeBroken, System: a.System, Doing: "check the export",
			Said: fmt.Sprintf("%d references lead nowhere: %s", len(lost), strings.Join(lost[:min(5, len(lost))], "; ")),
			Hint: "such rules do not match what they say: correct them on the system"}
	}
	changes, reported, err := changedRules(ctx, s, w, a.System, x.doc)
	if err != nil {
		return runtime.Result{}, err
	}
	if reported != "" {
		x.names = append(x.names, kind.ChangesFile)
		x.files[kind.ChangesFile] = changes
	}
	x.names = append([]string{ruleset.File}, x.names...)
	x.files[ruleset.File] = text
	art, err := w.Spool().Export(s, spool.Export{Kind: "ruleset", Asset: asset, Item: a.System, Source: x.source, Names: x.names,
		Files: x.files})
	if err != nil {
		return runtime.Result{}, err
	}
	if h, err := w.Site.Host(a.System); err == nil && h.Local {
		art.Devices = w.DevicesOf("/etc") // what sets it up at boot
	}
	for _, m := range x.doc.Missing {
		gap := ledger.Gap{Asset: asset, Item: a.System, What: m.Part, Why: m.Why}
		if x.token != "" && strings.Contains(m.Why, "Permission check failed") {
			gap.Mend = proxmox.RightHint(x.token, m.Why)
		}
		art.Gaps = append(art.Gaps, gap)
	}
	art.Gaps = append(art.Gaps, x.open...)
	art.Declared = map[string]string{"sections": fmt.Sprint(len(x.doc.Sections)), "vendor": x.doc.Vendor}
	if reported != "" {
		art.Declared[ledger.DeclaredChanges] = reported
	}
	for i := range x.findings {
		x.findings[i].Asset = asset
	}
	return runtime.Result{Value: art, Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}, Findings: x.findings}}, nil
}

// readFirewall asks the system that has the name.
func readFirewall(ctx context.Context, s *runtime.Step, w *systems.Systems, a *Request) (*ruleExport, error) {
	for _, p := range w.Site.Proxmox {
		if p.Name == a.System {
			return proxmoxFirewall(ctx, s, w, a.System)
		}
	}
	for _, h := range w.Site.Hosts {
		if h.Name == a.System {
			return linuxFirewall(ctx, w, a.System)
		}
	}
	for _, c := range w.Site.Cloudflare {
		if c.Name == a.System {
			return cloudflareFirewall(ctx, s, w, a.System)
		}
	}
	if _, err := w.Site.UniFiNamed(a.System); err != nil {
		return nil, fmt.Errorf("the site has no system %q with a firewall\nhint: it has %s", a.System,
			strings.Join(w.Site.Systems("firewall"), ", "))
	}
	return unifiFirewall(ctx, s, w, a)
}

func proxmoxFirewall(ctx context.Context, s *runtime.Step, w *systems.Systems, name string) (*ruleExport, error) {
	c, sys, err := w.Proxmox(ctx, name)
	if err != nil {
		return nil, proxmox.Explain(name, "connect", err)
	}
	all, err := c.SeesAllGuests(ctx)
	if err != nil {
		return nil, proxmox.Explain(name, "read the token's rights", err)
	}
	if !all {
		return nil, &failure.Error{Code: proxmox.CodeAuth, System: "proxmox " + name, Doing: "list guests",
			Said: "the token does not have VM.Audit on /vms: it would see a part of the guests and no error",
			Hint: "pveum acl modify /vms --tokens '" + sys.TokenID + "' --roles PVEAuditor, and the same for its user"}
	}
	doc, err := c.Firewall(ctx, func(done, total int) { s.Progress("parts of "+name, int64(done), int64(total)) })
	if err != nil {
		return nil, proxmox.Explain(name, "export the firewall", err)
	}
	return &ruleExport{doc: doc, files: map[string][]byte{}, source: name + ":firewall", token: sys.TokenID}, nil
}

func linuxFirewall(ctx context.Context, w *systems.Systems, name string) (*ruleExport, error) {
	h, _, err := w.Host(ctx, name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	x, err := linux.Read(ctx, h)
	if err != nil {
		err = host.Explain(name, "export the firewall", err)
		var own *failure.Error
		if errors.As(err, &own) && own.Code == host.CodeProgram {
			own.Hint = "apt install nftables iproute2 on the host"
		}
		return nil, err
	}
	return &ruleExport{doc: x.Document, names: x.Names, files: x.Files, source: "host " + name}, nil
}

// changedRules says what differs from the export before, line by line with values,
// and what the ledger and the log may tell of it; "" when nothing does, or when there
// is none.
func changedRules(ctx context.Context, s *runtime.Step, w *systems.Systems, system string, doc *ruleset.Document) ([]byte, string, error) {
	before, err := w.Spool().Previous(ctx, s, "ruleset", system)
	if err != nil || before == nil {
		return nil, "", err
	}
	r, err := before.Open(ruleset.File)
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, "", err
	}
	old, err := ruleset.Parse(raw)
	if err != nil {
		s.Log("%s: the export before cannot be compared with: %v", system, err)
		return nil, "", nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "since %s:\n", before.Artifact.Created.UTC().Format(time.RFC3339))
	var sections []string
	for _, d := range ruleset.Diff(old, doc) {
		b.WriteString(d.Text() + "\n")
		sections = append(sections, d.Section)
	}
	return b.Bytes(), spool.LogChanges(s, system, before.Artifact.Created, sections), nil
}

// unifiFirewall takes the console's newest backup and its settings.
func unifiFirewall(ctx context.Context, s *runtime.Step, w *systems.Systems, a *Request) (*ruleExport, error) {
	c, err := w.UniFi(ctx, a.System)
	if err != nil {
		return nil, err
	}
	doc, err := c.Settings(ctx)
	if err != nil {
		return nil, unifi.Explain(a.System, "read the settings", err)
	}
	x := &ruleExport{doc: doc, files: map[string][]byte{}, source: "unifi " + a.System}
	b, found, err := c.Newest(ctx)
	if err != nil {
		return nil, unifi.Explain(a.System, "list backups", err)
	}
	fail := func(said, hint string) error {
		return &failure.Error{Code: unifi.CodeBackup, System: "unifi " + a.System, Doing: "fetch the newest automatic backup", Said: said,
			Hint: hint}
	}
	if !found {
		return nil, fail("the console has none", "switch them on in the console: Settings > System > Backups")
	}
	var content bytes.Buffer
	n, err := c.Download(ctx, b, &limited{w: &content, left: maxUnf})
	if err != nil {
		return nil, unifi.Explain(a.System, "download "+b.Filename, err)
	}
	if n != b.Size {
		e := fail(fmt.Sprintf("%s has %d bytes; %d came", b.Filename, b.Size, n), "").(*failure.Error)
		e.Temporary = true
		return nil, e
	}
	name := "backup" + ruleset.UniFiBackup
	x.names, x.files[name] = []string{name}, content.Bytes()
	sum := sha256.Sum256(content.Bytes())
	doc.Checked = append(doc.Checked, ruleset.Accepted{File: name, SHA256: hex.EncodeToString(sum[:]),
		By: fmt.Sprintf("size as the console lists it; made by version %s on %s", b.Version, b.Time.Format(time.RFC3339))})
	if err := x.clearBackups(w, a); err != nil {
		return nil, err
	}
	most := a.MaxAge
	if most == 0 {
		most = 8 * 24 * time.Hour
	}
	if age := s.Now().Sub(b.Time); age > most {
		x.findings = append(x.findings, ledger.Finding{Severity: ledger.DegradedRun, Item: a.System,
			Text: fmt.Sprintf("the newest automatic backup of %s is of %s, %d days ago: look at the console's schedule (Settings > System > "+
				"Backups)", a.System, b.Time.Format("2006-01-02"), int(age.Hours()/24))})
	}
	return x, nil
}

// clearBackups makes gaps of targets on which the console's backup would lie open:
// it holds every password, and the key that it is encrypted with is the same for all
// consoles and publicly known.
func (x *ruleExport) clearBackups(w *systems.Systems, a *Request) error {
	asset, err := w.Asset(a.Asset, "networking")
	if err != nil {
		return err
	}
	row, _ := w.Site.Demands.Asset(asset)
	for _, on := range row.On {
		t, err := w.Site.Target(on.Target)
		if err != nil {
			return err
		}
		if len(t.SealedTo) == 0 {
			x.open = append(x.open, ledger.Gap{Asset: asset, Item: a.System, What: "backup in clear on " + on.Target,
				Why: "who reads a copy on this target reads the passwords in the console's backup, whose encryption is publicly known: give the " +
					"target sealed_to, or demand another one"})
		}
	}
	return nil
}

// maxUnf bounds the backup of a console's settings.
const maxUnf = 512 << 20

// limited refuses more than its limit.
type limited struct {
	w    io.Writer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, fmt.Errorf("it has more than %d bytes", maxUnf)
	}
	return l.w.Write(p)
}

// cloudflareFirewall reads what lets requests through, and to where.
func cloudflareFirewall(ctx context.Context, s *runtime.Step, w *systems.Systems, name string) (*ruleExport, error) {
	session, sys, err := w.CloudflareSession(ctx, s, name)
	if err != nil {
		return nil, err
	}
	x, err := session.Networking(ctx, sys.Account, sys.Zones)
	if err != nil {
		return nil, cloudflare.Explain(name, "export rules, lists and tunnels", err)
	}
	doc, err := x.Document(name)
	return &ruleExport{doc: doc, files: map[string][]byte{}, source: "cloudflare " + x.Account}, err
}
