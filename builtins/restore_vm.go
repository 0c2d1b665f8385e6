package builtins

import (
	"context"
	"fmt"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/restorevm"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
)

type restoreVMArgs struct {
	Guest    string    `star:"guest?" doc:"name of the guest: its newest proven copy is taken"`
	Artifact string    `star:"artifact?" doc:"id of an artifact: that one is taken"`
	VMID     int64     `star:"vmid" doc:"a VMID that is free"`
	Storage  string    `star:"storage" doc:"Proxmox storage that receives the disks"`
	At       time.Time `star:"at?" doc:"take none that is younger; default: the newest"`
	From     string    `star:"from_target?" doc:"take this target's copy only" names:"target"`
	System   string    `star:"system?" doc:"proxmox of the site; default: the only one" names:"proxmox"`
	Node     string    `star:"node?" doc:"node that restores; default: the one that made the archive"`
	Name     string    `star:"name?" doc:"name of the restored guest; default: its own, or NAME-VMID while a guest of that name is there"`
	NICs     string    `star:"nics?" doc:"down (default): every network interface is disconnected; up: as they were"`
}

func restoreVMDeclaration() runtime.Declaration {
	return runtime.Primitive[restoreVMArgs]{
		Name: "restore_vm", Kind: runtime.Write, Resume: runtime.Probe, Returns: "dict: vmid, node, copy, target, skipped",
		Doc: "restore_vm: bring a VM or container back under a VMID that is free.\n\n" +
			"Takes the newest proven copy, or the one that is named, reads it back first, and goes on to the next copy when one is damaged, " +
			"saying so. A copy that is not on the Proxmox storage is uploaded to it for the restore. " +
			"Network interfaces are disconnected before the guest exists, and that is checked before the call ends. A restore that fails leaves " +
			"nothing behind. It never overwrites a guest.",
		Example: `restore_vm(guest = "erp", vmid = 9100, storage = "local")`,
		Codes: codes(systems.PVECodes(), systems.TargetCodes(), systems.ArchiveCodes(), []failure.Code{
			proxmox.CodeStorage, proxmox.CodeStorageFull,
			restorevm.CodeNoCopy,
			restorevm.CodeTaken,
			restorevm.CodeFailed,
		}),
		Holds:   func(a *restoreVMArgs) []string { return []string{fmt.Sprintf("vmid:%d", a.VMID)} },
		Planned: func(*restoreVMArgs) any { return runtime.Unknown{From: "restore_vm"} },
		Fake:    fakeRestoreVM,
		Probe: func(ctx context.Context, s *runtime.Step, a *restoreVMArgs) (runtime.Result, bool, error) {
			r := restorevm.Request(*a)
			return restorevm.Probe(ctx, s, &r)
		},
		Run: func(ctx context.Context, s *runtime.Step, a *restoreVMArgs) (runtime.Result, error) {
			r := restorevm.Request(*a)
			return restorevm.Restore(ctx, s, &r)
		},
	}
}

func fakeRestoreVM(ctx context.Context, s *runtime.Step, a *restoreVMArgs) (runtime.Result, error) {
	r := restorevm.Request(*a)
	list, err := restorevm.Choose(ctx, s, &r)
	if err != nil {
		return runtime.Result{}, err
	}
	ch := list[0]
	return runtime.Result{Value: map[string]any{"vmid": a.VMID, "node": "fake", "copy": ch.ID, "target": ch.Target,
		"taken": ch.Taken.Format("2006-01-02T15:04:05Z"), "skipped": []string{}}}, nil
}
