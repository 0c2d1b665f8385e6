package snapshotvm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/guests"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Request is what a policy asks for; snapshot_vm documents its arguments.
type Request struct {
	Guest, System, Storage, Mode string
	Wait                         *time.Duration
	BWLimit                      int64
}

// dumpJob is one vzdump under way.
type dumpJob struct {
	s     *runtime.Step
	a     *Request
	c     *proxmox.Client
	sys   string
	asset string
	store string
	site  *site.Proxmox
	guest proxmox.Guest
	item  string
}

func openDump(ctx context.Context, s *runtime.Step, a *Request) (*dumpJob, error) {
	c, sys, err := systems.Of(s).Proxmox(ctx, a.System)
	if err != nil {
		return nil, proxmox.Explain(a.System, "connect", err)
	}
	j := &dumpJob{s: s, a: a, c: c, sys: sys.Name, store: cmp.Or(a.Storage, sys.Storage), site: sys}
	return j, j.find(ctx)
}

// find looks where the guest is now.
func (j *dumpJob) find(ctx context.Context) error {
	r, err := guests.Read(ctx, j.s, j.c, j.site)
	if err != nil {
		return err
	}
	g, found := r.Find(j.a.Guest)
	if j.guest, j.item, j.asset = g.Guest, g.Item, g.Asset; !found {
		return r.Missing(ctx, j.c, j.site, j.a.Guest)
	}
	if text, hint := g.Unsorted(j.site); g.Asset == "" {
		return &failure.Error{Code: site.CodeNoAsset, System: "proxmox " + j.sys, Doing: "find the asset of " + g.Item, Said: text, Hint: hint}
	}
	return nil
}

// Make makes an archive of a guest.
func Make(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	j, err := openDump(ctx, s, a)
	if err != nil {
		return runtime.Result{}, err
	}
	if err := j.ready(ctx); err != nil {
		return runtime.Result{}, err
	}
	upid, err := j.start(ctx)
	if err != nil {
		return runtime.Result{}, err
	}
	return j.finish(ctx, upid)
}

// ready waits until guest and storage can be used.
func (j *dumpJob) ready(ctx context.Context) error {
	st, err := j.c.StorageOf(ctx, j.guest.Node, j.store)
	if err != nil {
		return &failure.Error{Code: proxmox.CodeStorage, System: "proxmox " + j.sys, Doing: fmt.Sprintf("back up %s: look at storage %s", j.item,
			j.store), Said: err.Error(), Cause: err}
	}
	if st.Enabled == 0 || st.Active == 0 {
		return &failure.Error{Code: proxmox.CodeStorage, System: "proxmox " + j.sys,
			Doing: fmt.Sprintf("back up %s: look at storage %s on %s", j.item, j.store, j.guest.Node),
			Said:  "it is disabled, or not mounted", Hint: "pvesm status on the node shows it; pvesm set " + j.store + " --disable 0 enables it"}
	}
	wait := 30 * time.Minute
	if j.a.Wait != nil {
		wait = *j.a.Wait
	}
	until := j.s.Now().Add(wait)
	for pause, reported := time.Second, false; ; pause = min(2*pause, 15*time.Second) {
		now, err := j.c.GuestStatus(ctx, j.guest)
		moved := proxmox.Moved(err)
		if moved {
			now.Lock = "migrate"
			if err := j.find(ctx); err != nil {
				return err
			}
		} else if err != nil {
			return proxmox.Explain(j.sys, "read the state of "+j.item, err)
		}
		if now.Lock == "" {
			return nil
		}
		if left := until.Sub(j.s.Now()); left <= 0 {
			return &failure.Error{Code: proxmox.CodeLocked, System: "proxmox " + j.sys, Doing: "wait for guest " + j.item,
				Said: fmt.Sprintf("it is still locked (%s) after %v", now.Lock, wait),
				Hint: fmt.Sprintf("see what holds it: task list of the node; a lock without its task is removed with: qm unlock %d (pct unlock for "+
					"a container)", j.guest.VMID)}
		} else if pause > left {
			pause = left
		}
		if !reported && !moved {
			j.s.Log("%s is locked (%s); waiting until %s", j.item, now.Lock, until.UTC().Format(time.RFC3339))
			reported = true
		}
		if err := j.s.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// start begins vzdump, once: an answer that was lost is looked for.
func (j *dumpJob) start(ctx context.Context) (proxmox.UPID, error) {
	mode := j.a.Mode
	if mode == "" {
		mode = "snapshot"
	}
	if err := j.forget(ctx); err != nil {
		return "", err
	}
	for try := 0; ; try++ {
		if err := j.s.Mark(ctx, markSince, fmt.Sprint(j.s.Now().Unix(), " ", j.guest.Node)); err != nil {
			return "", err
		}
		upid, err := j.c.Backup(ctx, j.guest, proxmox.BackupOptions{Storage: j.store, Mode: mode, Notes: j.s.Token(), BWLimit: j.a.BWLimit,
			Compress: "zstd"})
		switch {
		case err == nil:
			return upid, j.s.Mark(ctx, markUPID, string(upid))
		case errors.As(err, new(*proxmox.NoTaskError)) && try < 3:
			was := j.guest.Node
			if ferr := j.find(ctx); ferr != nil {
				return "", ferr
			}
			if j.guest.Node == was {
				return "", &failure.Error{Code: CodeNothing, System: "proxmox " + j.sys, Doing: "start vzdump of " + j.item, Said: err.Error(),
					Temporary: true}
			}
			j.s.Log("%s moved from %s to %s", j.item, was, j.guest.Node)
		case proxmox.Lost(err):
			j.s.Log("the answer to vzdump of %s was lost (%v): looking for its task", j.item, err)
			upid, found, serr := j.search(ctx)
			if serr != nil {
				return "", serr
			}
			if found {
				return upid, j.s.Mark(ctx, markUPID, string(upid))
			}
			return "", proxmox.Explain(j.sys, "start vzdump of "+j.item, err)
		default:
			return "", proxmox.Explain(j.sys, "start vzdump of "+j.item, err)
		}
	}
}

// Marks of a step.
const (
	markSince = "since" // when, and on which node, vzdump was asked for
	markUPID  = "upid"  // its task; "" until it is known
	markPast  = "past"  // tasks of attempts that failed
)

// forget puts the task of an attempt that failed behind: it carries the same
// token as the one that begins now.
func (j *dumpJob) forget(ctx context.Context) error {
	upid := j.s.Marked(markUPID)
	if upid == "" {
		return nil
	}
	if err := j.s.Mark(ctx, markPast, strings.TrimSpace(j.s.Marked(markPast)+" "+upid)); err != nil {
		return err
	}
	return j.s.Mark(ctx, markUPID, "")
}

// search finds the task that carries our token, for as long as a proxy may hold
// a request back.
func (j *dumpJob) search(ctx context.Context) (proxmox.UPID, bool, error) {
	since, nodes := j.s.Now().Add(-24*time.Hour), []string{j.guest.Node}
	unix, node := int64(0), ""
	if _, err := fmt.Sscan(j.s.Marked(markSince), &unix, &node); err == nil {
		since = time.Unix(unix, 0).Add(-24 * time.Hour) // the node's clock may differ; the token is exact
		if node != j.guest.Node {
			nodes = append(nodes, node) // it moved since
		}
	}
	task, err := Search(ctx, j.c, nodes, j.guest.VMID, since, j.s.Token(), strings.Fields(j.s.Marked(markPast)), j.s.Sleep)
	if task != "" {
		j.s.Log("adopted task %s", task)
	}
	return task, task != "", proxmox.Explain(j.sys, "look for the task of "+j.item, err)
}

// Probe resolves a vzdump that had begun.
func Probe(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, bool, error) {
	if s.Marked(markSince) == "" {
		return runtime.Result{}, false, nil
	}
	j, err := openDump(ctx, s, a)
	if err != nil {
		return runtime.Result{}, false, err
	}
	upid := proxmox.UPID(s.Marked(markUPID))
	if upid == "" {
		var found bool
		if upid, found, err = j.search(ctx); err != nil || !found {
			return runtime.Result{}, false, err
		}
		if err := s.Mark(ctx, markUPID, string(upid)); err != nil {
			return runtime.Result{}, false, err
		}
	}
	j.s.Log("going on with task %s", upid)
	res, err := j.finish(ctx, upid)
	if failure.Is(err, Codes()...) {
		j.s.Log("that task made nothing: %s", failure.OneLine(err))
		return runtime.Result{}, false, nil // a new attempt is right
	}
	return res, true, err
}

// finish follows the task and makes the artifact of what it left.
func (j *dumpJob) finish(ctx context.Context, upid proxmox.UPID) (runtime.Result, error) {
	lines := &proxmox.Lines{Progress: func(done, total int64) { j.s.Progress("vzdump "+j.item, done, total) }}
	st, err := j.c.Follow(ctx, upid, j.s.Sleep, lines.Add)
	if err != nil {
		return runtime.Result{}, proxmox.Explain(j.sys, "follow task "+string(upid), err)
	}
	log := proxmox.ReadLog(lines.All, j.guest.VMID)
	if err := Judge(st, log, lines.All); err != nil {
		e := &failure.Error{Code: err.Code, System: "proxmox " + j.sys, Doing: "vzdump of " + j.item, Said: err.Said, Hint: err.Hint,
			Temporary: err.Temporary}
		if err.Code == proxmox.CodeAuth {
			e.Hint = proxmox.RightHint(j.site.TokenID, err.Said)
		}
		if e.Hint == "" {
			e.Hint = "the whole log: pvesh get " + fmt.Sprintf("/nodes/%s/tasks/%s/log", upid.Node(), upid)
		}
		return runtime.Result{}, e
	}
	node := upid.Node()
	vol, err := Archive(ctx, j.c, node, j.store, log, j.s.Token())
	if err != nil {
		return runtime.Result{}, j.missing(err)
	}
	config, err := j.config(ctx)
	if err != nil {
		return runtime.Result{}, err
	}
	defaults, err := j.c.BackupDefaults(ctx, node, j.store)
	if err != nil {
		return runtime.Result{}, proxmox.Explain(j.sys, "ask "+node+" for its defaults of vzdump", err)
	}
	src := Source{Asset: j.asset, Item: j.item, Type: j.guest.Type, Config: config, Log: log, Node: node, Defaults: defaults,
		VMID: j.guest.VMID}
	art := ledger.Artifact{
		ID: j.s.ArtifactID(), Kind: Kind(j.guest.Type), Asset: j.asset, Item: j.item, Run: j.s.Run, Step: j.s.ID,
		Source: fmt.Sprintf("%s:%s/%d", j.sys, j.guest.Type, j.guest.VMID), Created: time.Unix(int64(st.Start), 0).UTC(),
		Origin: ledger.Origin{System: j.sys, Node: node, Storage: j.store, Volume: vol.VolID, Path: vol.Path, Task: string(upid),
			Number: fmt.Sprint(j.guest.VMID), Type: j.guest.Type, Name: j.guest.Name, Identity: guests.Identity(j.guest.Type, config)},
		Files: []ledger.File{{Name: path.Base(vol.Path), Size: vol.Size}}, Bytes: vol.Size, Consistency: log.Consistency(),
		Gaps: Gaps(src), Declared: Facts(src),
	}
	art.Devices = Devices(systems.Of(j.s), art.Origin, j.guest.Type, config)
	if !log.SizeFits(vol.Size) {
		j.s.Log("the archive of %s has %d bytes where its task's log says %s: reading it back will show", j.item, vol.Size, log.SizeText)
	}
	res := runtime.Result{Value: art, Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}, Findings: Findings(src, st, upid)}}
	return res, j.vanished(ctx, vol.VolID, node, &res)
}

// vanished looks for earlier archives of the guest that somebody else removed: they
// count no longer.
func (j *dumpJob) vanished(ctx context.Context, made, node string, res *runtime.Result) error {
	catalog, err := j.s.Catalog(ctx)
	if err != nil {
		return err
	}
	gone, err := Vanished(ctx, j.c, catalog, j.item, node, made)
	for _, c := range gone {
		systems.Vanish(j.s, c, &res.Facts)
	}
	return proxmox.Explain(j.sys, "look for the archives of "+j.item, err)
}

// missing words why the archive that a log names is of no use.
func (j *dumpJob) missing(err error) error {
	e := &failure.Error{Code: target.CodeArchiveMissing, System: "proxmox " + j.sys, Doing: "find the archive of " + j.item,
		Said: err.Error(), Cause: err}
	var api *proxmox.Error
	var unmarked *UnmarkedError
	switch {
	case errors.As(err, &api):
		return proxmox.Explain(j.sys, e.Doing, err)
	case errors.As(err, &unmarked):
		e.Code = proxmox.CodeStorageFull
		e.Hint = fmt.Sprintf("the notes say that an archive is runner's: remove this one by hand (pvesm free %s), make room on the storage, "+
			"then: runner retry", unmarked.VolID)
	}
	return e
}

// config reads the guest's configuration, from where it is by now.
func (j *dumpJob) config(ctx context.Context) (map[string]string, error) {
	for try := 0; ; try++ {
		config, err := j.c.GuestConfig(ctx, j.guest)
		if !proxmox.Moved(err) || try == 3 {
			return config, proxmox.Explain(j.sys, "read the configuration of "+j.item, err)
		}
		if err := j.find(ctx); err != nil {
			return nil, err
		}
	}
}

// Stands reports whether the archive of an earlier run can be used by its
// retry: it is there, with the size that it had.
func Stands(ctx context.Context, s *runtime.Step, system string, value json.RawMessage) (bool, error) {
	var art ledger.Artifact
	if err := json.Unmarshal(value, &art); err != nil {
		return false, err
	}
	w := systems.Of(s)
	if w.Given != nil {
		return true, nil
	}
	size, err := w.ArchiveSize(ctx, art.Origin)
	if proxmox.Gone(err) {
		s.Log("the archive of %s is not there any more: making a new one", art.Item)
		return false, nil
	}
	if err != nil {
		return false, proxmox.Explain(system, "look at the archive of "+art.Item, err)
	}
	return size == art.Bytes, nil
}

// Codes are those of a vzdump that made no archive.
func Codes() []failure.Code {
	return []failure.Code{
		proxmox.CodeLocked,
		CodeFailed,
		CodeNothing,
		proxmox.CodeStorage,
		proxmox.CodeStorageFull,
		proxmox.CodeStorageLimit,
		target.CodeArchiveMissing,
	}
}
