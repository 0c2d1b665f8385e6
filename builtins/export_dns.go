package builtins

import (
	"context"
	"time"

	"github.com/neosofia/runner/builtins/internal/exportdns"
	"github.com/neosofia/runner/builtins/internal/format/zone"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
)

type exportDNSArgs struct {
	Zone   string `star:"zone" doc:"DNS zone of the site: example.org" names:"zone"`
	System string `star:"system?" doc:"cloudflare of the site; default: the one that has the zone"`
	Asset  string `star:"asset?" doc:"row of the SOP's table; default public_dns" names:"asset"`
}

func exportDNSDeclaration() runtime.Declaration {
	return runtime.Reusable[exportDNSArgs]{Reuse: exportStands[exportDNSArgs], Primitive: runtime.Primitive[exportDNSArgs]{
		Name: "export_dns", Kind: runtime.Write, Resume: runtime.Retry, Returns: "artifact",
		Doc: "export_dns: export a DNS zone at Cloudflare, as the API's records and as BIND text.\n\n" +
			"records.json is the zone as Cloudflare keeps it; zone.bind is Cloudflare's own text for any other DNS server; zone.json has the " +
			"zone's object, DNSSEC, settings; index.json counts. " +
			"Pages are held against the count before and after, and both forms against each other; a zone that changes meanwhile is read again. " +
			"A part that the token may not read, or that the plan does not have, is a gap; so is a record that cannot be read, whose bytes are " +
			"kept. A zone without records is an error. " +
			"Two exports of one state are equal to the byte, and changes.txt says what differs from the export before.",
		Example: `export_dns(zone = "example.org")`,
		Codes:   codes(systems.CloudflareCodes(), exportCodes(exportdns.CodeEmpty)),
		Retries: runtime.Retries{Attempts: 2, Wait: time.Minute},
		Holds:   func(a *exportDNSArgs) []string { return []string{"zone:" + zone.Name(a.Zone)} },
		Planned: func(*exportDNSArgs) any { return runtime.Unknown{From: "export_dns"} },
		Preview: func(_ context.Context, s *runtime.Step, a *exportDNSArgs) error {
			return systems.PreviewCopies(s, a.Asset, "public_dns")
		},
		Fake: fakeExportDNS,
		Run: func(ctx context.Context, s *runtime.Step, a *exportDNSArgs) (runtime.Result, error) {
			r := exportdns.Request(*a)
			return exportdns.Export(ctx, s, &r)
		},
	}}
}

func fakeExportDNS(_ context.Context, s *runtime.Step, a *exportDNSArgs) (runtime.Result, error) {
	if _, err := exportdns.System(systems.Of(s), a.Zone, a.System); err != nil {
		return runtime.Result{}, err
	}
	return systems.FakeExport(s, "zone", a.Asset, "public_dns", zone.Name(a.Zone))
}
