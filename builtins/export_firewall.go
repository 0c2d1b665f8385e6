package builtins

import (
	"context"
	"time"

	"github.com/neosofia/runner/builtins/internal/exportfirewall"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
)

type exportFirewallArgs struct {
	System string        `star:"system" doc:"proxmox, host, cloudflare or unifi of the site" names:"firewall"`
	Asset  string        `star:"asset?" doc:"row of the SOP's table; default networking" names:"asset"`
	MaxAge time.Duration `star:"max_age?" doc:"unifi: how old the newest automatic backup may be; default 8d"`
}

func exportFirewallDeclaration() runtime.Declaration {
	return runtime.Reusable[exportFirewallArgs]{Reuse: exportStands[exportFirewallArgs], Primitive: runtime.Primitive[exportFirewallArgs]{
		Name: "export_firewall", Kind: runtime.Write, Resume: runtime.Retry, Returns: "an artifact",
		Doc: "export_firewall: export what filters and routes packets on a system.\n\n" +
			"Proxmox: firewall of cluster, nodes and guests with aliases, sets and groups; SDN; the nodes' networks. A Linux host: nftables as " +
			"JSON and text, iptables, ebtables, arptables and ipset where they are used, forwarding, addresses, routes, policy rules, and the " +
			"files that set the network up. " +
			"Cloudflare: rulesets, lists, access rules, page rules, tunnels and private routes. A UniFi gateway: its newest automatic backup, " +
			"and its settings as JSON; a demanded target without sealed_to is a gap, for the backup holds passwords. " +
			"Nothing is changed. Two exports of one state are equal to the byte, and changes.txt says what differs from the export before. " +
			"What the account may not read is a gap. An export whose rules name sets, groups or chains that are not in it is refused. Each table " +
			"of a Linux host is loaded into a network namespace of its own there, and listed again: one that does not come back equal in any " +
			"form is a gap.",
		Example: `export_firewall(system = "pve")`,
		Codes: codes(systems.PVECodes(), systems.HostCodes(), exportCodes(exportfirewall.CodeBroken), systems.CloudflareCodes(),
			systems.UniFiCodes()),
		Retries: runtime.Retries{Attempts: 3, Wait: retryWait},
		Holds:   func(a *exportFirewallArgs) []string { return []string{"firewall:" + a.System} },
		Planned: func(*exportFirewallArgs) any { return runtime.Unknown{From: "export_firewall"} },
		Preview: func(_ context.Context, s *runtime.Step, a *exportFirewallArgs) error {
			return systems.PreviewCopies(s, a.Asset, "networking")
		},
		Fake: fakeExportFirewall,
		Run: func(ctx context.Context, s *runtime.Step, a *exportFirewallArgs) (runtime.Result, error) {
			r := exportfirewall.Request(*a)
			return exportfirewall.Export(ctx, s, &r)
		},
	}}
}

func fakeExportFirewall(_ context.Context, s *runtime.Step, a *exportFirewallArgs) (runtime.Result, error) {
	return systems.FakeExport(s, "ruleset", a.Asset, "networking", a.System)
}
