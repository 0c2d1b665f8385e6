package builtins

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/format/zone"
	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/internal/world"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type exportDNSArgs struct {
	Zone   string `star:"zone" doc:"DNS zone of the site: example.org" names:"zone"`
	System string `star:"system?" doc:"cloudflare of the site; default: the one that has the zone"`
	Asset  string `star:"asset?" doc:"row of the SOP's table; default public_dns" names:"asset"`
}

func exportDNSDeclaration() runtime.Declaration {
	return runtime.Primitive[exportDNSArgs]{
		Name: "export_dns", Kind: runtime.Write, Resume: runtime.Retry, Returns: "artifact",
		Doc: "export_dns: export a DNS zone at Cloudflare, as the API's records and as BIND text.\n\n" +
			"records.json is the zone as Cloudflare keeps it; zone.bind is Cloudflare's own text for any other DNS server; zone.json has the zone's object, DNSSEC, settings; index.json counts. " +
			"Pages are held against the count before and after, and both forms against each other; a zone that changes meanwhile is read again. " +
			"A part that the token may not read, or that the plan does not have, is a gap; so is a record that cannot be read, whose bytes are kept. A zone without records is an error. " +
			"Two exports of one state are equal to the byte, and changes.txt says what differs from the export before.",
		Example: `export_dns(zone = "example.org")`,
		Codes: codes(world.CloudflareCodes(), world.SpoolCodes(), []runtime.Code{
			{Name: "E_ZONE_EMPTY", Doc: "the zone has no records: what answers is not the zone that is protected"},
		}),
		Retries: runtime.Retries{Attempts: 2, Wait: time.Minute},
		Holds:   func(a *exportDNSArgs) []string { return []string{"zone:" + zoneName(a.Zone)} },
		Planned: func(*exportDNSArgs) any { return runtime.Unknown{From: "export_dns"} },
		Tell: func(_ context.Context, s *runtime.Step, a *exportDNSArgs) error {
			return world.TellCopies(s, a.Asset, "public_dns")
		},
		Fake: fakeExportDNS, Run: exportDNS,
	}
}

// zoneName is the form in which a zone is named everywhere.
func zoneName(name string) string { return zone.Name(name) }

// zoneSystem is the Cloudflare that has the zone.
func zoneSystem(w *world.World, a *exportDNSArgs) (string, error) {
	sys, err := w.Site.CloudflareOf(a.Zone)
	if err == nil && a.System != "" && a.System != sys.Name {
		err = fmt.Errorf("zone %s is in %s of the site, not in %s", a.Zone, sys.Name, a.System)
	}
	if err != nil {
		return "", &runtime.Error{Code: "E_NO_ZONE", Doing: "find zone " + a.Zone, Said: err.Error(), Hint: "list it in zones = [...] of cloudflare(...) in site.star"}
	}
	return sys.Name, nil
}

func exportDNS(ctx context.Context, s *runtime.Step, a *exportDNSArgs) (runtime.Result, error) {
	w := world.Of(s)
	asset, err := w.Asset(a.Asset, "public_dns")
	if err != nil {
		return runtime.Result{}, err
	}
	name, err := zoneSystem(w, a)
	if err != nil {
		return runtime.Result{}, err
	}
	c, sys, err := w.CloudflareSession(ctx, s, name)
	if err != nil {
		return runtime.Result{}, err
	}
	item := zoneName(a.Zone)
	x, err := c.Zone(ctx, item, sys.Account)
	if err != nil {
		return runtime.Result{}, world.CloudflareError(name, "export zone "+item, err)
	}
	if len(x.Records) == 0 {
		return runtime.Result{}, &runtime.Error{Code: "E_ZONE_EMPTY", System: "cloudflare " + name, Doing: "export zone " + item, Said: "it has no records",
			Hint: "was it made anew, or is this a zone of the same name in another account? the export before is kept; runner show lists it"}
	}
	e, err := zoneExport(w, x)
	if err != nil {
		return runtime.Result{}, err
	}
	e.Asset, e.Item, e.Source = asset, item, name+":zone/"+x.ID
	told, err := addChanges(ctx, s, w, &e)
	if err != nil {
		return runtime.Result{}, err
	}
	art, err := w.SpoolExport(s, e)
	if err != nil {
		return runtime.Result{}, err
	}
	for _, m := range x.Missing {
		art.Gaps = append(art.Gaps, ledger.Gap{Asset: asset, Item: item, What: m.Part, Why: m.Why})
	}
	art.Declared = map[string]string{"records": fmt.Sprint(len(x.Records))}
	if told != "" {
		art.Declared["changes"] = told
	}
	return runtime.Result{Value: art, Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}}}, nil
}

// zoneExport makes the files.
func zoneExport(w *world.World, x cloudflare.ZoneExport) (world.Export, error) {
	e := world.Export{Kind: "zone", Names: []string{kind.ZoneRecords}, Files: map[string][]byte{kind.ZoneRecords: recordLines(x.Records)}}
	if x.BIND != nil {
		e.Names, e.Files[kind.ZoneBIND] = append(e.Names, kind.ZoneBIND), x.BIND
	}
	for _, f := range []struct {
		name string
		v    any
	}{
		{kind.ZoneObject, kind.ZoneParts{Zone: x.Zone, DNSSEC: x.DNSSEC, DNSSettings: x.DNSSettings, Settings: x.Settings}},
		{kind.ZoneIndexed, kind.ZoneIndex{Zone: x.Name, ID: x.ID, Account: x.Account, Records: len(x.Records), Missing: x.Missing, Runner: w.Env.Version}},
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
func addChanges(ctx context.Context, s *runtime.Step, w *world.World, e *world.Export) (string, error) {
	before, err := w.Previous(ctx, s, e.Kind, e.Item)
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
	if old, err := readBefore(before, kind.ZoneObject); err != nil || !bytes.Equal(old, e.Files[kind.ZoneObject]) {
		lines = append(lines, "~ "+kind.ZoneObject+": the zone's object, DNSSEC or settings differ")
		sections = append(sections, kind.ZoneObject)
	}
	if len(lines) == 0 {
		return "", nil
	}
	e.Names = append(e.Names, kind.ChangesFile)
	e.Files[kind.ChangesFile] = []byte(fmt.Sprintf("since %s:\n%s\n", before.Artifact.Created.UTC().Format(time.RFC3339), strings.Join(lines, "\n")))
	return tellChanges(s, e.Item, before.Artifact.Created, sections), nil
}

func recordChanges(ctx context.Context, before *world.Previous, e *world.Export) ([]string, error) {
	old, err := readBefore(before, kind.ZoneRecords)
	if err != nil || bytes.Equal(old, e.Files[kind.ZoneRecords]) {
		return nil, err
	}
	was, err := zone.ParseJSON(ctx, bytes.NewReader(old))
	if err != nil {
		return nil, err
	}
	is, err := zone.ParseJSON(ctx, bytes.NewReader(e.Files[kind.ZoneRecords]))
	if err != nil {
		return nil, err
	}
	return zone.Compare(was, is).Lines(), nil
}

// readBefore reads a file of the export before.
func readBefore(p *world.Previous, file string) ([]byte, error) {
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

func fakeExportDNS(_ context.Context, s *runtime.Step, a *exportDNSArgs) (runtime.Result, error) {
	if _, err := zoneSystem(world.Of(s), a); err != nil {
		return runtime.Result{}, err
	}
	return world.FakeExport(s, "zone", a.Asset, "public_dns", zoneName(a.Zone))
}
