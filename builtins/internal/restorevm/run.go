package restorevm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Request is what a policy asks for; restore_vm documents its arguments.
type Request struct {
	Guest, Artifact string
	VMID            int64
	Storage         string
	At              time.Time
	From            string
	System, Node    string
	Name, NICs      string
}

// Copy is a copy that could be restored.
type Copy struct {
	ledger.Proven
	art ledger.Artifact
}

// Choose lists the copies that could serve, the best first: the newest artifact,
// and of its copies the one that needs no transfer.
func Choose(ctx context.Context, s *runtime.Step, a *Request) ([]Copy, error) {
	if (a.Guest == "") == (a.Artifact == "") {
		return nil, errors.New("name the guest or the artifact, one of them")
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	q := ledger.Query{Item: a.Guest, Ref: a.Artifact, Target: a.From}
	copies, err := catalog.ProvenCopies(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []Copy
	for _, c := range copies {
		if a.Artifact == "" && c.Level < ledger.Read || !a.At.IsZero() && c.Taken.After(a.At) {
			continue
		}
		art, found, err := catalog.Artifact(ctx, c.Artifact)
		if err != nil {
			return nil, err
		}
		if found && (art.Kind == "vm" || art.Kind == "ct") {
			out = append(out, Copy{c, art})
		}
	}
	Order(out, func(c Copy) ledger.Copy { return c.Copy })
	if len(out) == 0 {
		what := a.Guest + a.Artifact
		if !a.At.IsZero() {
			what += " as of " + a.At.UTC().Format("2006-01-02 15:04 UTC")
		}
		return nil, &failure.Error{Code: CodeNoCopy, Doing: "restore " + what, Said: "no proven copy of it is recorded",
			Hint: "runner status shows what there is; runner ledger rebuild --from TARGET reads the manifests of a target; runner recover --from " +
				"PATH works without any record"}
	}
	return out, nil
}

// Restore brings a guest back under a VMID that is free.
func Restore(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	list, err := Choose(ctx, s, a)
	if err != nil {
		return runtime.Result{}, err
	}
	w := systems.Of(s)
	c, sys, err := w.Proxmox(ctx, a.System)
	if err != nil {
		return runtime.Result{}, proxmox.Explain(a.System, "connect", err)
	}
	r := &restore{s: s, a: a, w: w, c: c, sys: sys.Name, store: sys.Storage, token: sys.TokenID}
	if err := r.free(ctx); err != nil {
		return runtime.Result{}, err
	}
	for _, ch := range list {
		res, err := r.from(ctx, ch)
		if err == nil {
			return res, nil
		}
		if !nextCopy(err) {
			return r.res, err
		}
		r.skip(ch, err)
	}
	return r.res, &failure.Error{Code: CodeNoCopy, Doing: "restore " + list[0].Item, Said: strings.Join(r.skipped, "; ")}
}

// nextCopy tells failures of a copy from those that another copy would meet too.
func nextCopy(err error) bool {
	return failure.Is(err, target.CodeDamaged, target.CodeNotFound, target.CodeBadManifest, target.CodeArchiveMissing, target.CodeArchiveRead,
		target.CodeNoIdentity, target.CodeMediaAbsent, target.CodeWrongMedium, target.CodeDown, target.CodeDenied, target.CodeFailed,
		target.CodeNoSFTP, ssh.CodeHostKey)
}

// restore is one restore under way.
type restore struct {
	s       *runtime.Step
	a       *Request
	w       *systems.Systems
	c       *proxmox.Client
	sys     string
	token   string // its id
	store   string
	res     runtime.Result
	skipped []string
	names   map[string]bool // of the guests that are there
	volid   string          // that is restored
}

func (r *restore) skip(ch Copy, err error) {
	text := fmt.Sprintf("the copy on %s of %s was left: %s", ch.Target, ch.Taken.Format("2006-01-02T15:04:05Z"), failure.OneLine(err))
	r.skipped = append(r.skipped, text)
	r.s.Log("%s", text)
	if failure.Is(err, target.CodeDamaged, target.CodeNotFound, target.CodeBadManifest, target.CodeArchiveMissing) {
		r.res.Facts.Damaged = append(r.res.Facts.Damaged, ch.ID)
		r.res.Facts.Findings = append(r.res.Facts.Findings, ledger.Finding{Severity: ledger.DegradedRun, Asset: ch.Asset, Item: ch.Item,
			Target: ch.Target, Text: text})
	}
}

// free refuses a VMID that is in use.
func (r *restore) free(ctx context.Context) error {
	all, err := r.c.Guests(ctx)
	if err != nil {
		return proxmox.Explain(r.sys, "list guests", err)
	}
	r.names = map[string]bool{}
	for _, g := range all {
		r.names[g.Name] = true
		if int64(g.VMID) == r.a.VMID {
			return &failure.Error{Code: CodeTaken, System: "proxmox " + r.sys, Doing: fmt.Sprintf("restore under VMID %d", r.a.VMID),
				Said: "it belongs to " + g.Name + " on " + g.Node,
				Hint: "name one that is free; restore_vm never overwrites a guest"}
		}
	}
	taken, err := r.c.Taken(ctx, proxmox.Int(r.a.VMID)) // by one that the token may not see
	if err != nil {
		return proxmox.Explain(r.sys, "ask whether the VMID is free", err)
	}
	if taken {
		return &failure.Error{Code: CodeTaken, System: "proxmox " + r.sys, Doing: fmt.Sprintf("restore under VMID %d", r.a.VMID),
			Said: "it belongs to a guest that the token may not see",
			Hint: "name one that is free; restore_vm never overwrites a guest"}
	}
	return nil
}

// from restores one copy: read back, brought to the storage, restored, checked.
func (r *restore) from(ctx context.Context, ch Copy) (res runtime.Result, err error) {
	node := r.a.Node
	if node == "" {
		if node = ch.art.Origin.Node; node == "" { // the artifact is known from a manifest alone
			if node, err = r.c.OnlyNode(ctx); err != nil {
				return r.res, proxmox.Explain(r.sys, "choose a node: name one with node = …", err)
			}
		}
	}
	if st, err := r.c.StorageOf(ctx, node, r.a.Storage); err != nil {
		return r.res, r.noStorage(proxmox.Explain(r.sys, "look at storage "+r.a.Storage, err))
	} else if st.Active == 0 || st.Enabled == 0 {
		return r.res, &failure.Error{Code: proxmox.CodeRefused, System: "proxmox " + r.sys,
			Doing: fmt.Sprintf("look at storage %s on %s", r.a.Storage, node), Said: "it is disabled, or not mounted",
			Hint: "pvesm status on the node shows it"}
	}
	volid, done, err := upload(ctx, r.s, r.c, r.sys, r.store, node, ch.art, ch.Copy)
	if err != nil {
		return r.res, err
	}
	defer func() {
		if err := done(); err != nil {
			r.left(ch.Copy, err)
			res = r.res
		}
	}()
	r.volid = volid
	guest := guestType(ch.art.Kind)
	overrides, err := r.overrides(ctx, node, volid, guest)
	if err != nil {
		return r.res, err
	}
	undo, err := r.s.Undo(ctx, "destroy_vm", map[string]any{"vmid": r.a.VMID, "system": r.sys, "token": r.s.Token()})
	if err != nil {
		return r.res, err
	}
	if err := r.s.Mark(ctx, "copy", ch.ID); err != nil {
		return r.res, err
	}
	upid, err := r.begin(ctx, ch, node, guest, volid, overrides)
	if err != nil {
		return r.res, err
	}
	if err := r.s.Mark(ctx, "upid", string(upid)); err != nil {
		return r.res, err
	}
	if err := r.resolve(ctx, upid, node, guest); err != nil {
		return r.res, err
	}
	if err := undo.Keep(ctx); err != nil { // from here on the guest stays
		return r.res, err
	}
	r.without(ch.art)
	r.res.Value = map[string]any{"vmid": r.a.VMID, "node": node, "copy": ch.ID, "target": ch.Target,
		"taken": ch.Taken.Format("2006-01-02T15:04:05Z"), "skipped": append([]string{}, r.skipped...)}
	return r.res, nil
}

// without says what the archive did not hold, and the restored guest lacks.
func (r *restore) without(art ledger.Artifact) {
	for _, g := range art.Gaps {
		text := fmt.Sprintf("%s comes back as %d without %s: %s", art.Item, r.a.VMID, g.What, g.Why)
		r.s.Log("%s", text)
		if _, ok := r.w.Site.Demands.Accepts(ledger.Gap{Item: art.Item, What: g.What}, r.s.Now()); !ok {
			r.res.Facts.Findings = append(r.res.Facts.Findings, ledger.Finding{Severity: ledger.DegradedRun, Asset: art.Asset, Item: art.Item,
				Text: text})
		}
	}
}

// left says that something could not be cleaned up.
func (r *restore) left(c ledger.Copy, err error) {
	r.res.Facts.Findings = append(r.res.Facts.Findings, ledger.Finding{Severity: ledger.DegradedRun, Asset: c.Asset, Item: c.Item,
		Text: failure.OneLine(err)})
}

// begin starts the restore. When the answer is lost, its task is looked for: the
// VMID was free, so a restore of it is ours.
func (r *restore) begin(ctx context.Context, ch Copy, node, guest, volid string, overrides map[string]any) (proxmox.UPID, error) {
	since := r.s.Now().Add(-15 * time.Minute) // the node's clock may differ
	upid, err := r.c.Restore(ctx, node, guest, volid, r.a.VMID, r.a.Storage, overrides)
	doing := fmt.Sprintf("restore %s as %d", ch.Item, r.a.VMID)
	if err == nil || !proxmox.Lost(err) {
		return upid, r.byHand(guest, r.allocate(proxmox.Explain(r.sys, doing, err)))
	}
	r.s.Log("the answer to the restore was lost (%v): looking for its task", err)
	for range 6 {
		tasks, terr := r.c.Tasks(ctx, node, TaskType(guest), proxmox.Int(r.a.VMID), since)
		if terr == nil && len(tasks) > 0 {
			newest := slices.MaxFunc(tasks, func(a, b proxmox.Task) int { return int(a.Start - b.Start) })
			return newest.UPID, nil
		}
		if err := r.s.Sleep(ctx, time.Second); err != nil {
			return "", err
		}
	}
	return "", proxmox.Explain(r.sys, doing, err)
}

// noStorage says how a storage that is not shown comes into sight.
func (r *restore) noStorage(err error) error {
	var e *failure.Error
	if errors.As(err, &e) && e.Hint == "" {
		right := proxmox.Right{Path: "/storage/" + r.a.Storage, Privileges: []string{"Datastore.AllocateSpace"}}
		e.Hint = "pvesm status on the node shows what is there; if it is, " + proxmox.RightHint(r.token, right.Refusal())
	}
	return err
}

// allocate names the right that a refusal of a new guest does not name.
func (r *restore) allocate(err error) error {
	var e *failure.Error
	var api *proxmox.Error
	if errors.As(err, &e) && errors.As(err, &api) && api.Bare() {
		e.Hint = proxmox.RightHint(api.Token, proxmox.Right{Path: fmt.Sprintf("/vms/%d", r.a.VMID),
			Privileges: []string{"VM.Allocate"}}.Refusal())
	}
	return err
}

// byHand gives a refusal the way that needs no right.
func (r *restore) byHand(guest string, err error) error {
	var e *failure.Error
	if errors.As(err, &e) {
		if hint := ByHand(guest, e.Said, r.volid, r.a.VMID, r.a.Storage); hint != "" {
			e.Hint = hint
		}
	}
	return err
}

func guestType(kind string) string {
	if kind == "ct" {
		return "lxc"
	}
	return "qemu"
}

// resolve waits for the task and looks at what it made.
func (r *restore) resolve(ctx context.Context, upid proxmox.UPID, node, guest string) error {
	lines := &proxmox.Lines{Progress: func(int64, int64) {}}
	st, err := r.c.Follow(ctx, upid, r.s.Sleep, lines.Add)
	if err != nil {
		return proxmox.Explain(r.sys, "follow task "+string(upid), err)
	}
	if st.Exit != "OK" && !st.Warned() {
		said := st.Exit
		if n := len(lines.All); n > 1 {
			said += "; its log: " + strings.Join(lines.All[max(0, n-4):], " | ")
		}
		return r.byHand(guest, &failure.Error{Code: CodeFailed, System: "proxmox " + r.sys, Doing: fmt.Sprintf("restore as %d", r.a.VMID),
			Said: said})
	}
	config, err := r.c.GuestConfig(ctx, proxmox.Guest{VMID: proxmox.Int(r.a.VMID), Node: node, Type: guest})
	if err != nil {
		return proxmox.Explain(r.sys, "look at the restored guest", err)
	}
	for _, k := range NICs(config) {
		if r.a.NICs != "up" && !strings.Contains(config[k], "link_down=1") {
			return &failure.Error{Code: CodeFailed, System: "proxmox " + r.sys, Doing: fmt.Sprintf("restore as %d", r.a.VMID),
				Said: k + " is connected though it was to be down: the guest is not kept"}
		}
	}
	return nil
}

// overrides are the changes to the archive's configuration that go into the very
// request: the guest never exists with its interfaces up.
func (r *restore) overrides(ctx context.Context, node, volid, guest string) (map[string]any, error) {
	text, err := r.c.ArchiveConfig(ctx, node, volid)
	if err != nil {
		return nil, proxmox.Explain(r.sys, "read the configuration in "+volid, err)
	}
	name := r.a.Name
	if own := Name(guest, text); name == "" && r.names[own] {
		name = fmt.Sprintf("%s-%d", own, r.a.VMID)
		r.s.Log("a guest %s is there: the restored one is named %s", own, name)
	}
	out := Overrides(guest, text, r.a.NICs != "up", name)
	out["description"] = strings.TrimLeft(Description(text)+"\n"+r.s.Token(), "\n")
	return out, nil
}

// Probe resolves a restore that had begun.
func Probe(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, bool, error) {
	r := &restore{s: s, a: a, w: systems.Of(s)}
	if err := removeUploads(ctx, s); err != nil {
		r.left(ledger.Copy{}, err)
	}
	upid, copyID := proxmox.UPID(s.Marked("upid")), s.Marked("copy")
	if upid == "" {
		return r.res, false, CleanStart(ctx, s, a.System, a.VMID)
	}
	c, sys, err := r.w.Proxmox(ctx, a.System)
	if err != nil {
		return r.res, false, proxmox.Explain(a.System, "connect", err)
	}
	r.c, r.sys = c, sys.Name
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return r.res, false, err
	}
	cp, _, err := catalog.Copy(ctx, copyID)
	if err != nil {
		return r.res, false, err
	}
	node := upid.Node()
	if err := r.resolve(ctx, upid, node, guestType(cp.Kind)); err != nil {
		if !failure.Is(err, CodeFailed) {
			return r.res, false, err // what became of it is not known: nothing is removed
		}
		if serr := s.Mark(ctx, "upid", ""); serr != nil {
			return r.res, false, serr
		}
		s.Log("the restore that was under way is of no use: %s", failure.OneLine(err))
		return r.res, false, CleanStart(ctx, s, a.System, a.VMID)
	}
	r.res.Value = map[string]any{"vmid": a.VMID, "node": node, "copy": cp.ID, "target": cp.Target,
		"taken": cp.Taken.Format("2006-01-02T15:04:05Z"), "skipped": []string{}}
	return r.res, true, s.KeepAll(ctx)
}
