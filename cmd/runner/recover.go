package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/medium"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/runtime/words"
	"github.com/spf13/cobra"
)

type recoverFlags struct {
	from, item, id, to                  string
	hostKey, key, login, password       string
	scratch                             string
	verify, archive, commands, all      bool
	identities, shares                  []string
	live, netns, serial, ring, ringPass string
	erase                               bool
}

func recoverCommand(f *flags) *cobra.Command {
	var r recoverFlags
	c := &cobra.Command{
		Use: "recover --from PATH|URL", Short: "bring things back from one copy's medium, without site, ledger or network",
		Long: `recover needs the medium and, where copies are sealed, the recovery identity; nothing else.
Without further flags it lists what is there. --verify reads every copy back. --to DIR extracts the newest:
disks to raw sparse files, or a container's tree; with --archive it writes the clear archive instead.
--commands prints what to type to do the same with sha256sum, age, qmrestore and pct alone.
PATH can also be a single vzdump archive, whoever made it.`,
		Example: "  runner recover --from /media/usb\n  runner recover --from /media/usb --verify --identity key.txt\n  runner recover --from " +
			"/media/usb --item erp --to /restore --identity key.txt",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.recover(c.Context(), r) },
	}
	set := c.Flags()
	set.StringVar(&r.from, "from", "", "folder of the medium, or sftp://user@host/folder")
	set.StringArrayVar(&r.identities, "identity", nil, "file of the recovery key: the sheet, its lines, an age key, shares; - is standard "+
		"input; nothing: ask when it is needed")
	set.BoolVar(&r.all, "all", false, "list every copy; default: the newest of each item")
	set.StringVar(&r.item, "item", "", "this item only: a guest's name")
	set.StringVar(&r.id, "id", "", "this artifact only; default: the newest of each item")
	set.StringVar(&r.to, "to", "", "folder to extract into")
	set.BoolVar(&r.verify, "verify", false, "read back and open")
	set.BoolVar(&r.archive, "archive", false, "with --to: write the clear archives")
	set.BoolVar(&r.commands, "commands", false, "print the commands of the vendor's tools")
	set.StringArrayVar(&r.shares, "share", nil, "file of a custodian's share of the recovery identity; give as many as are needed")
	set.StringVar(&r.ring, "keyring", "", "with --to, of secrets: put them into a new keyring in this folder instead of files")
	set.StringVar(&r.ringPass, "keyring-password-file", "", "with --keyring: file of mode 0600 that holds its password; default: ask")
	set.StringVar(&r.live, "live", "", "with --to, of a zone: file with the live zone, JSON or BIND, to compare with")
	set.StringVar(&r.netns, "netns", "", "with --to, of a ruleset: network namespace to load it into")
	set.StringVar(&r.serial, "serial", "", "with --to, of a host: serial number of the disk or stick that the rescue image is written to")
	set.BoolVar(&r.erase, "erase", false, "with --serial: everything on that medium may be erased")
	set.StringVar(&r.hostKey, "host-key", "", "sftp: public key of the host")
	set.StringVar(&r.key, "key", "", "sftp: file of the private key")
	set.StringVar(&r.password, "password", "", "a repository of chunks: file of its password; left out, it is asked for")
	set.StringVar(&r.scratch, "scratch", "", "a mirror of a repository: folder for what the copies need of it, encrypted, while they come back; "+
		"default: --to")
	set.StringVar(&r.login, "login", "", "cloud stores: file of the login; runner cloud login --out FILE makes it")
	return c
}

func (f *flags) recover(ctx context.Context, r recoverFlags) (err error) {
	if r.from == "" {
		return usage("--from is missing: the folder of the medium, sftp://user@host/folder, or onedrive:///folder")
	}
	if b, ok := medium.BareArchive(r.from); ok {
		return f.recoverBare(ctx, b, r)
	}
	s := &session{flags: f} // without --lab there is no state, and no place for it
	defer s.done(&err)
	keys, ask, err := readKeys(append(r.identities, r.shares...))
	if err != nil {
		return err
	}
	o := medium.Options{HostKey: r.hostKey}
	if f.lab {
		if s.state, err = f.stateDir(); err != nil {
			return err
		}
		if err := s.openLabWorld(ctx); err != nil {
			return err
		}
		o.Env.Root, o.Env.Dial, o.Env.Device, o.Env.Roots = s.lab.Root(), s.lab.Dial, s.lab.Device, lab.Roots()
	}
	o.Password, o.Env.Scratch = r.chunksPassword, cmp.Or(r.scratch, r.to)
	if r.login != "" {
		if o.Login, err = os.ReadFile(r.login); err != nil {
			return usage("read the login: %v", err)
		}
		o.Keep = r.keepLogin
	}
	if r.key != "" {
		if o.Key, err = os.ReadFile(r.key); err != nil {
			return usage("read the private key: %v", err)
		}
	}
	o.Ask.LiveZone, o.Ask.Netns, o.Ask.Serial, o.Ask.Erase = r.live, r.netns, r.serial, r.erase
	if r.ring != "" {
		if o.Ask.Keyring, err = r.newRing(ctx, f.lab); err != nil {
			return err
		}
	}
	m, err := medium.Open(ctx, r.from, o)
	if err != nil {
		return err
	}
	defer m.Close()
	for _, b := range m.Bad {
		fmt.Fprintf(os.Stderr, "runner: left out: %.1000s\n", shownLines(b.Error(), "     "))
	}
	if !r.verify && r.to == "" && !r.commands {
		return f.listMedium(m, r)
	}
	// Reading back is for all that is there; bringing back, for the newest.
	picked, err := m.Pick(r.item, r.id, r.to != "" || r.commands)
	if err != nil {
		return err
	}
	if ask && !r.commands && m.Locked(picked, keys) {
		typed, err := askKeys(ctx)
		if err != nil {
			return err
		}
		keys.Add(typed)
	}
	m.Unlock(keys)
	if err := f.bringBack(ctx, m, picked, r); err != nil {
		return err
	}
	switch odd := m.Odd(); {
	case r.verify && len(m.Bad) > odd:
		fmt.Printf("%sFAIL %d copies cannot be read at all: see above\n", labMark(f.lab), len(m.Bad)-odd)
		return &exit{exitFailed, nil}
	case r.verify && odd > 0:
		fmt.Printf("%snote %d things on this medium are not copies, and were left out: see above\n", labMark(f.lab), odd)
		return &exit{exitDegraded, nil}
	}
	return nil
}

func (f *flags) listMedium(m *medium.Medium, r recoverFlags) (err error) {
	entries := m.Entries()
	if r.item != "" || r.id != "" {
		if entries, err = m.Pick(r.item, r.id, false); err != nil {
			return err
		}
	}
	all := entries
	if !r.all && !f.json {
		entries = medium.Newest(entries)
	}
	if f.json {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"place": m.Place, "copies": entries, "lab": f.lab})
	}
	lab := labMark(f.lab)
	if len(entries) == 0 {
		return fmt.Errorf("%s holds no copy that runner made\nhint: a copy is a folder KIND/ITEM/TIME-ID with a manifest.json", m.Place)
	}
	fmt.Printf("%s%-8s %-16s %-20s %-10s %-7s %-22s %s\n", lab, "kind", "item", "taken (UTC)", "size", "sealed", "proven by its maker", "id")
	sealed := false
	for _, e := range entries {
		state := "no"
		if e.Sealed {
			state, sealed = "yes", true
		}
		proven := e.Proven
		if proven == "" {
			proven = "not noted"
		}
		fmt.Printf("%s%-8s %-16s %-20s %-10s %-7s %-22s %s\n", lab, e.Kind, e.Item, e.Taken.UTC().Format("2006-01-02 15:04:05"),
			words.Size(e.Bytes), state, proven, e.ID)
		for _, g := range e.Gaps {
			fmt.Printf("%s     not in it: %s\n", lab, shown(g))
		}
		if n := len(e.Older(all)); n > 0 && !r.all {
			fmt.Printf("%s     and %d older\n", lab, n)
		}
	}
	need := ""
	if sealed {
		need = " --identity FILE"
	}
	scratch := ""
	if m.Mirror() {
		scratch = " --scratch DIR"
	}
	if len(entries) < len(all) {
		fmt.Printf("%slist the older ones:   runner recover --from %s --all%s\n", lab, m.Place, labSuffix(f.lab))
	}
	fmt.Printf("%sread everything back:  runner recover --from %s --verify%s%s%s\n", lab, m.Place, need, scratch, labSuffix(f.lab))
	fmt.Printf("%sbring one back:        runner recover --from %s --item ITEM --to DIR%s%s\n", lab, m.Place, need, labSuffix(f.lab))
	return nil
}

func labSuffix(lab bool) string {
	if lab {
		return " --lab"
	}
	return ""
}

func (f *flags) bringBack(ctx context.Context, m *medium.Medium, picked []medium.Entry, r recoverFlags) error {
	lab := labMark(f.lab)
	failed, older := 0, 0
	for _, e := range picked {
		what := fmt.Sprintf("%s %s of %s", shown(e.Kind), shown(e.Item), e.Taken.UTC().Format("2006-01-02 15:04:05Z"))
		if err := f.bringOne(ctx, m, e, r, what); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			failed++
			fmt.Printf("%sFAIL %s: %s\n", lab, what, shownLines(err.Error(), "     "))
			if r.to != "" {
				if err := f.nameOlder(ctx, m, e, r); err != nil {
					return err
				}
			}
		}
		if newer := m.Newer(e); len(newer) > 0 && r.id == "" && !r.verify {
			older++
			fmt.Printf("%snote this is not the newest of %s: %s cannot be read, see above\n", lab, shown(e.Item), shown(strings.Join(newer, ", ")))
		}
	}
	if failed > 0 {
		if r.to == "" {
			fmt.Printf("%s%d of %d cannot be brought back; recover --item ITEM --to DIR names the next older copy that can\n", lab, failed,
				len(picked))
		} else {
			fmt.Printf("%s%d of %d could not be brought back\n", lab, failed, len(picked))
		}
		return &exit{exitFailed, nil}
	}
	if older > 0 {
		return &exit{exitDegraded, nil}
	}
	return nil
}

// nameOlder looks for the next older copy that is sound, where this one is not, and
// says how to take it.
func (f *flags) nameOlder(ctx context.Context, m *medium.Medium, e medium.Entry, r recoverFlags) error {
	lab := labMark(f.lab)
	older, err := m.Sound(ctx, e)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, medium.ErrNotDamaged):
		return nil
	case err != nil:
		fmt.Printf("%s     %s\n", lab, shownLines(err.Error(), "     "))
		return nil
	}
	again := fmt.Sprintf("runner recover --from %s --id %s --to %s", m.Place, older.ID, r.to)
	for _, p := range r.identities {
		again += " --identity " + p
	}
	for _, p := range r.shares {
		again += " --share " + p
	}
	if r.archive {
		again += " --archive"
	}
	fmt.Printf("%s     the next older copy that is sound is of %s; type:\n%s     %s%s\n", lab,
		older.Taken.UTC().Format("2006-01-02 15:04:05Z"), lab, again, labSuffix(f.lab))
	return nil
}

func (f *flags) bringOne(ctx context.Context, m *medium.Medium, e medium.Entry, r recoverFlags, what string) error {
	lab := labMark(f.lab)
	if r.commands {
		identity := "KEYFILE"
		if len(r.identities) > 0 && r.identities[0] != "-" {
			identity = r.identities[0]
		}
		lines, err := m.Commands(e.ID, identity)
		if err != nil {
			return err
		}
		fmt.Printf("# %s%s\n%s\n", lab, what, shownLines(strings.Join(lines, "\n"), ""))
		return nil
	}
	if r.to == "" || r.verify {
		v, err := m.Verify(ctx, e.ID)
		if err != nil {
			return err
		}
		fmt.Printf("%sok   %s: %s, %s\n", lab, what, medium.LevelWords(v.Level, e.Sealed, e.Opened), words.Size(v.Bytes))
		if v.Note != "" {
			fmt.Printf("%snote %s\n", lab, shown(v.Note))
		}
	}
	if r.to == "" {
		return nil
	}
	extract := m.Extract
	if r.archive {
		extract = m.Archive
	}
	out, err := extract(ctx, e.ID, r.to)
	if err != nil {
		return err
	}
	for _, p := range append(out.Paths, out.Config...) {
		fmt.Printf("%sok   %s -> %s\n", lab, what, shown(p))
	}
	for _, sk := range out.Skipped {
		fmt.Printf("%snote %s\n", lab, shown(sk))
	}
	for _, line := range out.Say {
		fmt.Printf("%s     %s\n", lab, shownLines(line, "     "))
	}
	return nil
}

// recoverBare opens, and with --to extracts, an archive without a manifest.
func (f *flags) recoverBare(ctx context.Context, b *medium.Bare, r recoverFlags) error {
	c, err := b.Check(ctx)
	if err != nil {
		return err
	}
	if f.json && r.to == "" {
		return json.NewEncoder(os.Stdout).Encode(c)
	}
	fmt.Printf("ok   %s: %s, opened, %s inside\nok   sha256 %s (there is no manifest to compare it with)\n", r.from, c.Format,
		words.Size(c.Bytes), c.SHA256)
	for _, name := range slices.Sorted(maps.Keys(c.Disks)) {
		fmt.Printf("ok   disk %s, %d bytes\n", shown(name), c.Disks[name])
	}
	if r.to == "" {
		return nil
	}
	out, err := b.Extract(ctx, r.to)
	if err != nil {
		return err
	}
	for _, p := range append(out.Paths, out.Config...) {
		fmt.Printf("ok   -> %s\n", shown(p))
	}
	for _, sk := range out.Skipped {
		fmt.Printf("note %s\n", shown(sk))
	}
	for _, line := range out.Say {
		fmt.Printf("     %s\n", shownLines(line, "     "))
	}
	return nil
}

// newRing is a new keyring for secrets that come back: what is there already is not
// mixed with them.
func (r recoverFlags) newRing(ctx context.Context, lab bool) (func(name string, value []byte) error, error) {
	list, err := os.ReadDir(r.ring)
	switch {
	case err == nil && len(list) > 0:
		return nil, usage("--keyring %s: it is not empty\nhint: name a new folder, and put it in its place when all is back", r.ring)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, usage("--keyring %s: %v", r.ring, err)
	}
	c := builtins.KeyringConfig{Backend: "file", Dir: r.ring, PassFile: r.ringPass}
	switch {
	case r.ringPass != "":
	case lab:
		c.Password = func() (string, error) { return "lab", nil }
	case !interactive():
		return nil, usage("--keyring: there is nobody to ask for its password\nhint: --keyring-password-file FILE, of mode 0600")
	default:
		c.Password = func() (string, error) {
			pw, err := askTwice(ctx, "password of the new keyring in "+r.ring+": ")
			return string(pw), err
		}
	}
	return builtins.NewKeyring(c).Set, nil
}

// chunksPassword reads the password of a repository of chunks, or asks for it.
func (r recoverFlags) chunksPassword(ctx context.Context) ([]byte, error) {
	if r.password != "" {
		password, err := os.ReadFile(r.password)
		if err != nil {
			return nil, usage("read the password: %v", err)
		}
		return bytes.TrimRight(password, "\r\n"), nil
	}
	if !interactive() {
		return nil, usage("%s holds a repository of chunks: give the file of its password with --password", r.from)
	}
	return askSecret(ctx, "password of the repository of chunks: ")
}
