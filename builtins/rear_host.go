package builtins

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/neosofia/runner/builtins/internal/rearhost"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type rearHostArgs struct {
	Host         string         `star:"host?" doc:"host of the site; default: the only one" names:"host"`
	Output       string         `star:"output?" doc:"iso (default) or usb: a stick that rear format made, known by usb and usb_uuid"`
	Backup       string         `star:"backup?" doc:"iso (default): the archive lies inside the image; file: beside it, in dir, which must not be on the root file system; usb with output usb"`
	Dir          string         `star:"dir?" doc:"folder on the host where images are made; default /var/lib/runner/rear"`
	USB          string         `star:"usb?" doc:"serial of the stick's disk, as lsblk shows it"`
	USBUUID      string         `star:"usb_uuid?" doc:"UUID of the stick's data file system: every ReaR stick has the same label"`
	Key          string         `star:"key?" doc:"name of the secret that ReaR encrypts the archive with; a stick that is not encrypted itself needs one"`
	Console      bool           `star:"console?" doc:"the rescue system uses the serial console, too"`
	Differential bool           `star:"differential?" doc:"archives hold what is newer than the last full one (backup = file); restoring brings files back that were deleted since"`
	FullEvery    *time.Duration `star:"full_every?" doc:"how old the full archive of a chain may be; default 7d"`
	Unattended   bool           `star:"unattended?" doc:"recovery starts by itself and refuses disks that are not empty; never where guests would be erased"`
	Exclude      []string       `star:"exclude?" doc:"folders of the host that the archive leaves out"`
	Kernel       string         `star:"kernel?" doc:"version of the rescue system's kernel; default: the running one"`
	Settings     []string       `star:"settings?" doc:"further lines of ReaR's local.conf, kept in the artifact; they must hold no secret"`
	Asset        string         `star:"asset?" doc:"row of the SOP's table; default operating_systems"`
}

func rearHostDeclaration() runtime.Declaration {
	return runtime.Reusable[rearHostArgs]{Reuse: imageStands, Primitive: runtime.Primitive[rearHostArgs]{
		Name: "rear_host", Kind: runtime.Write, Resume: runtime.Retry, Returns: "artifact",
		Doc: "rear_host: make a Relax-and-Recover image of a host, from which it comes back onto bare metal.\n\n" +
			"Runs ReaR on the host with a configuration of its own (/etc/rear is not used and not changed), and keeps image, archive, log, " +
			"layout and configuration as one artifact. " +
			"Whatever holds a target, a Proxmox storage or guests is left out by name, in layout and archive. Guests on the system's own disk " +
			"cannot be left out: the image says which ones a recovery erases, never starts by itself, and is not made while one of them has no " +
			"proven copy elsewhere. " +
			"ReaR ends with 0 on images that cannot recover, so its log is judged and the image is opened. Nothing is rebooted and no boot entry " +
			"is set.",
		Example: `rear_host(host = "pve1")`,
		Codes:   codes(systems.HostCodes(), rearhost.Codes()),
		Retries: runtime.Retries{Attempts: 3, Wait: time.Minute},
		Holds:   func(a *rearHostArgs) []string { return []string{"rear:" + a.Host} },
		Planned: func(*rearHostArgs) any { return runtime.Unknown{From: "rear_host"} },
		Preview: func(_ context.Context, s *runtime.Step, a *rearHostArgs) error {
			return systems.PreviewCopies(s, a.Asset, "operating_systems")
		},
		Fake: fakeRearHost, Run: rearHost,
	}}
}

// imageStands says whether the image of an earlier run can be used by its retry:
// its files are on the host, with the sizes that they had.
func imageStands(ctx context.Context, s *runtime.Step, _ *rearHostArgs, value json.RawMessage) (bool, error) {
	var art ledger.Artifact
	if err := json.Unmarshal(value, &art); err != nil {
		return false, err
	}
	w := systems.Of(s)
	if w.Given != nil {
		return true, nil
	}
	return rearhost.Stands(ctx, s, w, art)
}

func rearHost(ctx context.Context, s *runtime.Step, a *rearHostArgs) (runtime.Result, error) {
	r := rearhost.Request{Host: a.Host, Output: a.Output, Backup: a.Backup, Dir: a.Dir, USB: a.USB, USBUUID: a.USBUUID, Key: a.Key,
		Console:      a.Console,
		Differential: a.Differential, Unattended: a.Unattended, Exclude: a.Exclude, Kernel: a.Kernel, Settings: a.Settings, Asset: a.Asset}
	if a.FullEvery != nil {
		r.FullEvery = *a.FullEvery
	}
	return rearhost.Make(ctx, s, r)
}

func fakeRearHost(ctx context.Context, s *runtime.Step, a *rearHostArgs) (runtime.Result, error) {
	w := systems.Of(s)
	asset, err := w.Asset(a.Asset, "operating_systems")
	if err != nil {
		return runtime.Result{}, err
	}
	h, err := w.Site.Host(a.Host)
	if err != nil {
		return runtime.Result{}, err
	}
	const size = 1 << 30
	art := ledger.Artifact{ID: s.ArtifactID(), Kind: "rear", Asset: asset, Item: h.Name, Run: s.Run, Step: s.ID, Source: "host:" + h.Name,
		Created: s.Now(),
		Origin:  ledger.Origin{Host: h.Name, Dir: "/fake"}, Files: []ledger.File{{Name: "rear-" + h.Name + ".iso", Size: size}}, Bytes: size}
	if a.Differential {
		if art.Needs, err = fakeChain(ctx, s, a, h.Name); err != nil {
			return runtime.Result{}, err
		}
	}
	return runtime.Result{Value: art, Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}}}, nil
}

// fakeChain is the full archive that a chain goes on from; none: it begins anew.
func fakeChain(ctx context.Context, s *runtime.Step, a *rearHostArgs, host string) ([]string, error) {
	every := 7 * 24 * time.Hour
	if a.FullEvery != nil {
		every = *a.FullEvery
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	all, err := catalog.Artifacts(ctx, ledger.Query{Item: host})
	if err != nil {
		return nil, err
	}
	for _, old := range slices.Backward(all) {
		if old.Kind == "rear" && len(old.Needs) == 0 && s.Now().Sub(old.Created) < every {
			return []string{old.ID}, nil
		}
	}
	return nil, nil
}
