package builtins

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/neosofia/runner/builtins/internal/snapshotvm"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type snapshotVMArgs struct {
	Guest   string         `star:"guest" doc:"name or VMID of a VM or container in the site" names:"guest"`
	System  string         `star:"system?" doc:"proxmox of the site; default: the only one" names:"proxmox"`
	Storage string         `star:"storage?" doc:"Proxmox storage that receives the archive; default: the site's"`
	Mode    string         `star:"mode?" doc:"snapshot (default), suspend or stop; Proxmox falls back where a guest cannot"`
	Wait    *time.Duration `star:"wait?" doc:"how long to wait for a guest that is locked; default 30m"`
	BWLimit int64          `star:"bwlimit?" doc:"KiB/s that vzdump reads at most; wants Sys.Modify on /, which bwlimit in the node's /etc/vzdump.conf does not"`
}

func snapshotVMDeclaration() runtime.Declaration {
	return runtime.Reusable[snapshotVMArgs]{Reuse: archiveStands, Primitive: runtime.Primitive[snapshotVMArgs]{
		Name: "snapshot_vm", Kind: runtime.Write, Resume: runtime.Probe, Returns: "artifact",
		Doc: "snapshot_vm: make a vzdump archive of a VM or container; it leaves no snapshot behind.\n\n" +
			"Finds the node, waits while the guest is locked, starts vzdump with its own token in the archive's notes (and remove=0: the " +
			"storage's retention stays out of it), follows the task's log and judges the guest by it. " +
			"A lost answer or a crash is settled by that token: the task that runs is adopted, another is not started. " +
			"The artifact says how consistent it is (agent freeze, suspended, stopped, crash-consistent) and what it does not hold: disks with " +
			"backup=0, bind mounts, snapshots of the guest.",
		Example: `snapshot_vm(guest = "erp")`,
		Codes:   codes(systems.PVECodes(), snapshotvm.Codes()),
		Retries: runtime.Retries{Attempts: 3, Wait: 30 * time.Second},
		Holds:   func(a *snapshotVMArgs) []string { return []string{"guest:" + a.Guest} },
		Planned: func(*snapshotVMArgs) any { return runtime.Unknown{From: "snapshot_vm"} },
		Preview: func(_ context.Context, s *runtime.Step, a *snapshotVMArgs) error {
			sys, err := systems.Of(s).Site.System(a.System)
			if err == nil {
				err = systems.PreviewCopies(s, assetOfName(s, sys, a.Guest), "")
			}
			return err
		},
		Fake: fakeSnapshotVM,
		Probe: func(ctx context.Context, s *runtime.Step, a *snapshotVMArgs) (runtime.Result, bool, error) {
			return snapshotvm.Probe(ctx, s, a.request())
		},
		Run: func(ctx context.Context, s *runtime.Step, a *snapshotVMArgs) (runtime.Result, error) {
			return snapshotvm.Make(ctx, s, a.request())
		},
	}}
}

func (a *snapshotVMArgs) request() *snapshotvm.Request {
	return &snapshotvm.Request{Guest: a.Guest, System: a.System, Storage: a.Storage, Mode: a.Mode, Wait: a.Wait, BWLimit: a.BWLimit}
}

func archiveStands(ctx context.Context, s *runtime.Step, a *snapshotVMArgs, value json.RawMessage) (bool, error) {
	return snapshotvm.Stands(ctx, s, a.System, value)
}

func fakeSnapshotVM(_ context.Context, s *runtime.Step, a *snapshotVMArgs) (runtime.Result, error) {
	w := systems.Of(s)
	sys, err := w.Site.System(a.System)
	if err != nil {
		return runtime.Result{}, err
	}
	const size = 1 << 30
	name := fmt.Sprintf("vzdump-qemu-100-%s.vma.zst", s.Now().Format("2006_01_02-15_04_05"))
	art := ledger.Artifact{ID: s.ArtifactID(), Kind: "vm", Asset: assetOfName(s, sys, a.Guest), Item: a.Guest, Run: s.Run, Step: s.ID,
		Source:  sys.Name + ":qemu/100",
		Created: s.Now(), Origin: ledger.Origin{System: sys.Name, Node: "fake", Volume: sys.Storage + ":backup/" + name, Path: "/fake/" + name},
		Files: []ledger.File{{Name: name, Size: size}}, Bytes: size, Consistency: "agent freeze"}
	return runtime.Result{Value: art, Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}}}, nil
}
