package rear

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/iso"
	"github.com/neosofia/runner/builtins/internal/format/layout"
)

// Names of an artifact's files besides the image and the archive.
const (
	PlanFile   = "plan.json" // always the first: the others are held to it
	LayoutFile = "disklayout.conf"
	DepsFile   = "diskdeps.conf"
	ConfFile   = "local.conf"
	LogFile    = "rear.log"
	EtcFile    = "etc-rear.txt"
)

const (
	maxSmall  = 8 << 20 // of a configuration, a layout, a log
	maxKernel = 64 << 10
	maxMenu   = 256 << 10
	maxMenus  = 64
)

// ImageError says that an image cannot recover the host.
type ImageError struct{ What string }

func (e *ImageError) Error() string { return e.What }

func bad(format string, args ...any) error { return &ImageError{fmt.Sprintf(format, args...)} }

// Inspector opens one artifact: it is given its files in order, and reported the end.
type Inspector struct {
	Key     []byte // of an encrypted archive, where it is at hand
	Plan    *Plan
	Layout  layout.Layout // as it lies beside the image
	Rescue  Rescue        // what the image starts
	Entries int64         // of the archive

	outside  bool // LayoutFile came
	archives int
	unopened []string // encrypted archives that no key was at hand for
	kernel   string   // version
	kernels  int
	menus    []string
	boots    int
}

// File reads one file to its end.
func (i *Inspector) File(ctx context.Context, name string, r io.Reader) error {
	if i.Plan == nil && name != PlanFile {
		return bad("%s does not come first: it is not known what the image may hold", PlanFile)
	}
	err := i.file(ctx, name, r)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	var own *ImageError
	if errors.As(err, &own) && !strings.Contains(own.What, name) {
		return bad("%s: %s", name, own.What)
	}
	return err
}

func (i *Inspector) file(ctx context.Context, name string, r io.Reader) error {
	switch {
	case name == PlanFile:
		return i.plan(r)
	case name == LayoutFile:
		l, err := layout.Parse(io.LimitReader(r, maxSmall))
		i.Layout, i.outside = l, err == nil
		return blame(err)
	case name == DepsFile:
		_, err := layout.ParseDeps(io.LimitReader(r, maxSmall))
		return blame(err)
	case strings.HasSuffix(name, ".iso"):
		img, err := iso.Read(ctx, r, func(f iso.File, content io.Reader) error {
			if content == nil {
				return nil
			}
			return i.part(ctx, f.Name, content)
		})
		i.boots += len(img.Boots)
		return blame(err)
	}
	return i.part(ctx, name, r)
}

// part reads a file of the image or of the medium.
func (i *Inspector) part(ctx context.Context, name string, r io.Reader) error {
	switch base := path.Base(name); {
	case base == "kernel":
		return i.readKernel(r)
	case strings.HasPrefix(base, "initrd."):
		return i.initrd(ctx, r)
	case base == "isolinux.cfg" || base == "grub.cfg" || base == "syslinux.cfg" || base == "extlinux.conf":
		if len(i.menus) == maxMenus {
			return bad("it holds more than %d menus", maxMenus)
		}
		text, err := atMost(r, maxMenu)
		i.menus = append(i.menus, text)
		return err
	case strings.Contains(base, ".tar"):
		i.archives++
		return i.archive(ctx, base, r)
	}
	return nil
}

func blame(err error) error {
	var i *iso.Error
	var l *layout.Error
	switch {
	case errors.As(err, &i):
		return bad("%v", i)
	case errors.As(err, &l):
		return bad("%v", l)
	}
	return err
}

func small(r io.Reader) (string, error) { return atMost(r, maxSmall) }

func atMost(r io.Reader, limit int64) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = bad("it has more than %d bytes", limit)
	}
	return string(b), err
}

func (i *Inspector) plan(r io.Reader) error {
	text, err := small(r)
	if err != nil {
		return err
	}
	i.Plan = &Plan{}
	if err := json.Unmarshal([]byte(text), i.Plan); err != nil {
		return bad("it cannot be read: %v", err)
	}
	return nil
}

// readKernel learns the version of a kernel from its boot header, and reads it to
// the end.
func (i *Inspector) readKernel(r io.Reader) error {
	head, err := io.ReadAll(io.LimitReader(r, maxKernel))
	if err != nil {
		return err
	}
	i.kernels++
	if i.kernel = KernelVersion(head); i.kernel == "" {
		return bad("the kernel is not one that a PC can boot")
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

// KernelVersion reads the version that a Linux kernel for x86 states in its boot
// header (Documentation/arch/x86/boot.rst: "HdrS" at 0x202, the version's place at
// 0x20e); "" when it is none.
func KernelVersion(head []byte) string {
	if len(head) < 0x210 || string(head[0x202:0x206]) != "HdrS" {
		return ""
	}
	at := int(head[0x20e]) + int(head[0x20f])<<8 + 0x200
	if at >= len(head) {
		return ""
	}
	text, _, _ := bytes.Cut(head[at:min(len(head), at+256)], []byte{0})
	version, _, _ := strings.Cut(string(text), " ")
	return version
}

// Note says what of the artifact was not looked into; "" when nothing.
func (i *Inspector) Note() string {
	if len(i.unopened) == 0 {
		return ""
	}
	return strings.Join(i.unopened, ", ") + ": encrypted with ReaR's key, which is not at hand here: the archive was read and not opened"
}

// End holds the parts against one another.
func (i *Inspector) End() error {
	switch {
	case i.Plan == nil || !i.outside:
		return bad("the image comes without its plan or its layout")
	case i.kernels == 0:
		return bad("the image holds no kernel")
	case len(i.Rescue.tools) == 0:
		return bad("the image holds no initial RAM disk")
	case i.Plan.Output == "iso" && i.boots == 0:
		return bad("no firmware starts the image: its boot catalog is empty")
	case len(i.menus) == 0:
		return bad("the image has no menu: no boot loader starts it")
	case i.archives == 0:
		return bad("there is no backup archive")
	}
	if err := i.Rescue.check(i.Plan, i.kernel); err != nil {
		return err
	}
	if d := layout.Diff(i.Layout, i.Rescue.Layout); len(d) > 0 {
		return bad("the layout inside the image is not the one beside it: %s", d[0])
	}
	if held := i.Plan.Refuse(i.Rescue.Layout); held != nil {
		return held
	}
	if held := i.Plan.Unnamed(i.Rescue.Layout); held != nil {
		return held
	}
	return i.menu()
}

// menu refuses an image that starts a recovery by itself without having been made
// so, and one that does not say which guests it erases.
func (i *Inspector) menu() error {
	all := strings.Join(i.menus, "\n")
	if alone := startsAlone(all); alone && !i.Plan.Unattended {
		return bad("the image starts a recovery by itself")
	} else if alone && len(i.Plan.Shared) > 0 {
		return &HoldsError{What: "the image starts a recovery by itself, which erases " + strings.Join(i.Plan.Shared, ", ")}
	}
	if len(i.Plan.Shared) > 0 && !strings.Contains(all, erases+strings.Join(i.Plan.SharedIDs, ",")) {
		return &HoldsError{What: "the image's menu does not say that a recovery erases " + strings.Join(i.Plan.Shared, ", ")}
	}
	return nil
}

// startsAlone reads a menu of syslinux or GRUB: what is started without a key.
func startsAlone(menu string) bool {
	label := ""
	s := bufio.NewScanner(strings.NewReader(menu))
	s.Buffer(nil, maxSmall)
	for s.Scan() {
		line := strings.ToLower(strings.TrimSpace(s.Text()))
		word := strings.Fields(line)
		switch {
		case len(word) >= 2 && word[0] == "label":
			label = word[1]
		case len(word) >= 2 && (word[0] == "default" || word[0] == "ontimeout") && strings.HasPrefix(word[1], "rear"),
			len(word) >= 2 && word[0] == "menu" && word[1] == "default" && strings.HasPrefix(label, "rear"):
			return true
		case (strings.HasPrefix(line, "append") || strings.HasPrefix(line, "linux")) && slices.Contains(word, "unattended"):
			return true
		case strings.HasPrefix(line, "set default=") && strings.Contains(line, "rear"):
			return true
		}
	}
	return false
}
