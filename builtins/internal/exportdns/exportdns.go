package exportdns

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	zonekind "github.com/neosofia/runner/builtins/internal/kind/zone"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/format/zone"
	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/internal/spool"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Request is what a policy asks for; export_dns documents its arguments.
type Request struct {
	Zone, System, Asset string
}

// System names the Cloudflare of the site that has the zone; system "" is whichever it is.
func System(w *systems.Systems, zone, system string) (string, error) {
	sys, err := w.Site.CloudflareOf(zone)
	if err == nil && system != "" && system != sys.Name {
		err = fmt.Errorf("zone %s is in %s of the site, not in %s", zone, sys.Name, system)
	}
	if err != nil {
		return "", &failure.Error{Code: cloudflare.CodeNoZone, Doing: "find zone " + zone, Said: err.Error(),
			Hint: "list it in zones = [...] of cloudflare(...) in site.star"}
	}
	return sys.Name, nil
}

// Export exports a zone.
func Export(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	w := systems.Of(s)
	asset, err := w.Asset(a.Asset, "public_dns")
	if err != nil {
		return runtime.Result{}, err
	}
	name, err := System(w, a.Zone, a.System)
	if err != nil {
		return runtime.Result{}, err
	}
	c, sys, err := w.CloudflareSession(ctx, s, name)
	if err != nil {
		return runtime.Result{}, err
	}
	item := zone.Name(a.Zone)
	x, err := c.Zone(ctx, item, sys.Account)
	if err != nil {
		return runtime.Result{}, cloudflare.Explain(name, "export zone "+item, err)
	}
	if len(x.Records) == 0 {
		return runtime.Result{}, &failure.Error{Code: CodeEmpty, System: "cloudflare " + name, Doing: "export zone " + item,
			Said: "it has no records",
			Hint: "was it made anew, or is this a zone of the same name in another account? the export before is kept; runner show lists it"}
	}
	e, err := zoneExport(w, x)
	if err != nil {
		return runtime.Result{}, err
	}
	e.Asset, e.Item, e.Source = asset, item, name+":zone/"+x.ID
	reported, err := addChanges(ctx, s, w, &e)
	if err != nil {
		return runtime.Result{}, err
	}
	art, err := w.Spool().Export(s, e)
	if err != nil {
		return runtime.Result{}, err
	}
	for _, m := range x.Missing {
		art.Gaps = append(art.Gaps, ledger.Gap{Asset: asset, Item: item, What: m.Part, Why: m.Why})
	}
	art.Declared = map[string]string{"records": fmt.Sprint(len(x.Records))}
	if reported != "" {
		art.Declared[ledger.DeclaredChanges] = reported
	}
	return runtime.Result{Value: art, Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}}}, nil
}

// zoneExport makes the files.
func zoneExport(w *systems.Systems, x cloudflare.ZoneExport) (spool.Export, error) {
	e := spool.Export{Kind: "zone", Names: []string{zonekind.RecordsFile},
		Files: map[string][]byte{zonekind.RecordsFile: recordLines(x.Records)}}
	if x.BIND != nil {
		e.Names, e.Files[zonekind.BINDFile] = append(e.Names, zonekind.BINDFile), x.BIND
	}
	for _, f := range []struct {
		name string
		v    any
	}{
		{zonekind.ObjectFile, zonekind.Parts{Zone: x.Zone, DNSSEC: x.DNSSEC, DNSSettings: x.DNSSettings, Settings: x.Settings}},
		{zonekind.IndexFile, zonekind.Index{Zone: x.Name, ID: x.ID, Account: x.Account, Records: len(x.Records), Missing: x.Missing,
			Runner: w.Env.Version}},
	} {
		raw, err := json.MarshalIndent(f.v, "", " ")
		if err != nil {
			return e, err
		}
		e.Names, e.Files[f.name] = append(e.Names, f.name), append(raw, '\n')
	}
	return e, nil
}

// recordLines is an array with one record on a line: people compare it with diff.
func recordLines(records []json.RawMessage) []byte {
	var b bytes.Buffer
	for i, r := range records {
		b.WriteString([]string{"[\n", ",\n"}[min(i, 1)])
		b.Write(r)
	}
	b.WriteString("\n]\n")
	return b.Bytes()
}

// addChanges adds changes.txt, when there is an export before and it differs, and
// returns what the ledger may tell of it.
func addChanges(ctx context.Context, s *runtime.Step, w *systems.Systems, e *spool.Export) (string, error) {
	before, err := w.Spool().Previous(ctx, s, e.Kind, e.Item)
	if err != nil || before == nil {
		return "", err
	}
	lines, err := recordChanges(ctx, before, e)
	if err != nil {
		s.Log("%s: the export before cannot be compared with: %v", e.Item, err)
		return "", nil
	}
	sections := make([]string, len(lines), len(lines)+1)
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "+"):
			sections[i] = "records added"
		case strings.HasPrefix(l, "-"):
			sections[i] = "records removed"
		default:
			sections[i] = "records changed"
		}
	}
	if old, err := readBefore(before, zonekind.ObjectFile); err != nil || !bytes.Equal(old, e.Files[zonekind.ObjectFile]) {
		lines = append(lines, "~ "+zonekind.ObjectFile+": the zone's object, DNSSEC or settings differ")
		sections = append(sections, zonekind.ObjectFile)
	}
	if len(lines) == 0 {
		return "", nil
	}
	e.Names = append(e.Names, kind.ChangesFile)
	e.Files[kind.ChangesFile] = []byte(fmt.Sprintf("since %s:\n%s\n", before.Artifact.Created.UTC().Format(time.RFC3339),
		strings.Join(lines, "\n")))
	return spool.LogChanges(s, e.Item, before.Artifact.Created, sections), nil
}

func recordChanges(ctx context.Context, before *spool.Previous, e *spool.Export) ([]string, error) {
	old, err := readBefore(before, zonekind.RecordsFile)
	if err != nil || bytes.Equal(old, e.Files[zonekind.RecordsFile]) {
		return nil, err
	}
	was, err := zone.ParseJSON(ctx, bytes.NewReader(old))
	if err != nil {
		return nil, err
	}
	is, err := zone.ParseJSON(ctx, bytes.NewReader(e.Files[zonekind.RecordsFile]))
	if err != nil {
		return nil, err
	}
	return zone.Compare(was, is).Lines(), nil
}

// readBefore reads a file of the export before.
func readBefore(p *spool.Previous, file string) ([]byte, error) {
	r, err := p.Open(file)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, zone.MaxBytes+1))
	if err == nil && len(raw) > zone.MaxBytes {
		err = fmt.Errorf("%s is longer than %d bytes", file, zone.MaxBytes)
	}
	return raw, err
}
