package builtins

import (
	"context"
	"encoding/json"

	"github.com/neosofia/runner/builtins/internal/shiplogs"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type shipLogsArgs struct {
	Source string `star:"source" doc:"logs of the site" names:"logs"`
	Most   int64  `star:"most?" doc:"clear bytes of one batch, about; what is beyond waits for the next call; default 1 GiB"`
	Asset  string `star:"asset?" doc:"row of the SOP's table; default system_logs" names:"asset"`
}

func shipLogsDeclaration() runtime.Declaration {
	return runtime.Reusable[shipLogsArgs]{Reuse: batchesStand, Primitive: runtime.Primitive[shipLogsArgs]{
		Name: "ship_logs", Kind: runtime.Write, Resume: runtime.Retry, Returns: "list of artifacts",
		Doc: "ship_logs: collect what is new in a source of logs into a batch, and return it after those that are not on every target yet.\n\n" +
			"A source is the systemd journal, log files with their rotated and packed ones, the task logs of a Proxmox VE node, or runner's own " +
			"record. " +
			"A batch begins where the newest one that still exists ended: its position is in the ledger, so that a run that dies loses nothing " +
			"and doubles nothing. " +
			"It stays in the spool until every target that the asset demands has a proven copy. " +
			"Each batch names the digest of the one before. What was vacuumed, truncated or removed before it was read is a gap; a source that " +
			"is silent for longer than the site says is an alarm. " +
			"A call makes a batch also when there is nothing new: it says that there was nothing.",
		Example: `ship_logs(source = "runner-ledger")`,
		Codes:   codes(systems.HostCodes(), exportCodes(shiplogs.CodeRead, shiplogs.CodeChanging, shiplogs.CodeChain)),
		Retries: runtime.Retries{Attempts: 3, Wait: retryWait},
		Holds:   func(a *shipLogsArgs) []string { return []string{"logs:" + a.Source} },
		Planned: func(*shipLogsArgs) any { return runtime.Unknown{From: "ship_logs"} },
		Preview: func(_ context.Context, s *runtime.Step, a *shipLogsArgs) error {
			return systems.PreviewCopies(s, a.Asset, "system_logs")
		},
		Fake: fakeShipLogs,
		Run: func(ctx context.Context, s *runtime.Step, a *shipLogsArgs) (runtime.Result, error) {
			r := shiplogs.Request(*a)
			return shiplogs.Ship(ctx, s, &r)
		},
	}}
}

func fakeShipLogs(ctx context.Context, s *runtime.Step, a *shipLogsArgs) (runtime.Result, error) {
	if _, err := systems.Of(s).Site.LogsNamed(a.Source); err != nil {
		return runtime.Result{}, err
	}
	r, err := systems.FakeExport(s, "logs", a.Asset, "system_logs", a.Source)
	if err != nil {
		return r, err
	}
	r.Value = r.Facts.Artifacts
	return r, nil
}

// batchesStand tells a retry whether all batches of an earlier run can still be had.
func batchesStand(ctx context.Context, s *runtime.Step, _ *shipLogsArgs, value json.RawMessage) (bool, error) {
	var batches []ledger.Artifact
	if err := json.Unmarshal(value, &batches); err != nil {
		return false, err
	}
	for _, a := range batches {
		if stands, err := systems.Of(s).Stands(ctx, s, a); err != nil || !stands {
			return false, err
		}
	}
	return true, nil
}
