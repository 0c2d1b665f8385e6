// Package rearhost makes the artifact of a host's rescue image: it joins the client of
// ReaR with the site (what holds copies, which secrets no image may hold) and the
// ledger (which guests have a proven copy elsewhere, what an archive builds on, how
// the disks were before).
//
// Its rules: an image counts only when it was opened; guests that its recovery
// would erase have a proven copy off the host's own disks first; the host is never
// rebooted, and no boot entry is set. The files stay in a folder of the host until
// every demanded target has them; the newest stays for the next comparison.
package rearhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/client/rear"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Request is what a policy asks for; rear_host documents its arguments.
type Request struct {
	Host, Output, Backup, Dir, USB, USBUUID, Key, Kernel, Asset string
	Console, Differential, Unattended                           bool
	FullEvery                                                   time.Duration
	Exclude, Settings                                           []string
}

// job is one image under way.
type job struct {
	look
	s     *runtime.Step
	a     Request
	asset string
	full  *ledger.Artifact // that a differential archive builds on
	res   runtime.Result
}

// Make makes an image of a host, opens it, and gives the artifact.
func Make(ctx context.Context, s *runtime.Step, a Request) (runtime.Result, error) {
	j := &job{look: look{w: systems.Of(s), clock: s}, s: s, a: a}
	var err error
	if j.asset, err = j.w.Asset(a.Asset, "operating_systems"); err != nil {
		return runtime.Result{}, err
	}
	if err := j.options(); err != nil {
		return runtime.Result{}, err
	}
	h, sh, err := j.w.Host(ctx, a.Host)
	if err != nil {
		return runtime.Result{}, err
	}
	defer h.Close()
	j.name, j.m = sh.Name, machine{h}
	if err := j.run(ctx, sh); err != nil {
		return j.res, j.word(err)
	}
	return j.res, nil
}

const defaultDir = "/var/lib/runner/rear"

var (
	plainFolder = regexp.MustCompile(`^(/[A-Za-z0-9._-]+){2,}$`)
	plainWord   = regexp.MustCompile(`^[A-Za-z0-9._:-]*$`)
)

// options checks what the policy asks for.
func (j *job) options() error {
	a := j.a
	j.o = rear.Options{Artifact: j.s.ArtifactID(), Dir: a.Dir, Output: a.Output, Backup: a.Backup, Serial: a.Console, Unattended: a.Unattended,
		Exclude: a.Exclude, Kernel: a.Kernel, Settings: a.Settings, Encrypted: a.Key != "", Stick: rear.Stick{Serial: a.USB, UUID: a.USBUUID}}
	if j.o.Dir == "" {
		j.o.Dir = defaultDir
	}
	if j.o.Output == "" {
		j.o.Output = "iso"
	}
	if j.o.Backup == "" {
		j.o.Backup = j.o.Output
	}
	switch usb := j.o.Output == "usb"; {
	case j.o.Output != "iso" && !usb:
		return fmt.Errorf("output %q: rear_host makes iso or usb", a.Output)
	case usb != (j.o.Backup == "usb") || j.o.Backup != "iso" && j.o.Backup != "file" && !usb:
		return fmt.Errorf("backup %q with output %q: an ISO goes with iso or file, a stick with usb", j.o.Backup, j.o.Output)
	case usb && (a.USB == "" || a.USBUUID == ""):
		return errors.New("output usb needs the stick's usb (serial) and usb_uuid: lsblk -o NAME,SERIAL,UUID,LABEL on the host shows them")
	case a.Differential && j.o.Backup != "file":
		return errors.New("differential needs backup = \"file\": a chain of archives lies beside the images")
	case !plainFolder.MatchString(j.o.Dir) || path.Clean(j.o.Dir) != j.o.Dir:
		return fmt.Errorf("dir %q: want an absolute folder at least two levels below /, of plain characters", j.o.Dir)
	case !plainWord.MatchString(a.Kernel + a.USB + a.USBUUID):
		return errors.New("kernel, usb and usb_uuid are words of letters, digits, dot, colon and dash")
	}
	for _, e := range a.Exclude {
		if !strings.HasPrefix(e, "/") || strings.ContainsAny(e, "\n\x00") {
			return fmt.Errorf("exclude %q: want an absolute folder", e)
		}
	}
	for _, l := range a.Settings {
		if strings.Contains(l, "CRYPT_KEY") || strings.Contains(l, "PASSWORD") {
			return errors.New("settings are kept in the artifact: a key or password does not belong there (use key)")
		}
	}
	return nil
}

func (j *job) run(ctx context.Context, sh *site.Host) error {
	if err := j.prepare(ctx, sh); err != nil {
		return err
	}
	var key []byte
	if j.a.Key != "" {
		var err error
		if key, err = j.w.Secret(ctx, site.Secret{Name: j.a.Key}); err != nil {
			return err
		}
		defer clear(key)
		if key = bytes.TrimSpace(key); len(key) == 0 || bytes.ContainsAny(key, "\n\x00") {
			return &failure.Error{Code: keyring.CodeSecret, Doing: "read secret " + j.a.Key, Said: "a passphrase is one line of text"}
		}
	}
	made, err := rear.Make(ctx, j.m, j.facts, j.plan, j.o, key)
	if err != nil {
		return err
	}
	if err := j.chained(made); err != nil {
		return err
	}
	art, insp, err := j.open(ctx, made, key)
	if err != nil {
		return err
	}
	j.findings(made, insp.Layout)
	if err := j.drift(ctx, insp); err != nil {
		return err
	}
	j.res.Value, j.res.Facts.Artifacts = art, []ledger.Artifact{art}
	return j.sweep(ctx)
}

// prepare looks at the host, and refuses an image that erases what is nowhere else.
func (j *job) prepare(ctx context.Context, sh *site.Host) error {
	if err := j.see(ctx, sh); err != nil {
		return err
	}
	for _, k := range j.plan.Kept {
		j.s.Detail("the image leaves %s alone: %s", k.Name, k.Why)
	}
	catalog, err := j.s.Catalog(ctx)
	if err != nil {
		return err
	}
	if err := j.elsewhere(ctx, catalog); err != nil {
		return err
	}
	return j.choose(ctx)
}

// word turns errors of the client into those of the runtime.
func (j *look) word(err error) error {
	var own *failure.Error
	var held *rear.HoldsError
	var image *rear.ImageError
	e := &failure.Error{System: "host " + j.name, Doing: "make a rescue image", Cause: err}
	switch {
	case errors.As(err, &own) && own.System != "":
		return err
	case errors.As(err, &own):
		e.Code, e.Doing, e.Said, e.Hint, e.Temporary = own.Code, own.Doing, own.Said, own.Hint, own.Temporary
	case errors.As(err, &held):
		e.Code, e.Said, e.Hint = rear.CodeHoldsGuests, held.What, held.Hint
		if held.Copies {
			e.Code = rear.CodeHoldsCopies
		}
	case errors.As(err, &image):
		e.Code, e.Doing, e.Said = rear.CodeImage, "open the image that rear made", image.What
		e.Hint = "rear's log lies on the host: /var/log/rear; packages that it needs: rear kmod udev xorriso isolinux syslinux-common " +
			"extlinux genisoimage parted gdisk dosfstools"
	default:
		return host.Explain(j.name, "make a rescue image", err)
	}
	return e
}
