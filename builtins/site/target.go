package site

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"go.starlark.net/starlark"

	"github.com/neosofia/runner/builtins/internal/format/bundle"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

type targetArgs struct {
	Name       string        `star:"name" doc:"how assets and policies name it"`
	URL        string        `star:"url" doc:"file:///folder, sftp://user@host:port/folder, onedrive:///folder, webdav:///folder, cloud:///folder (any store of runner-cloud), or pve://system/storage (counted in place)"`
	Medium     string        `star:"medium" doc:"kind of medium: disk, usb, tape, cloud"`
	Location   string        `star:"location" doc:"where it stands"`
	Offsite    bool          `star:"offsite?" doc:"stands in another place than production"`
	Offline    bool          `star:"offline?" doc:"is taken away after it was written"`
	Immutable  bool          `star:"immutable?" doc:"what is there cannot be changed by anybody: probed with runner's credential, again each month, before it is believed"`
	AppendOnly bool          `star:"append_only?" doc:"runner's account can add files, and change, rename or remove none: probed in the same way"`
	SealedTo   []string      `star:"sealed_to?" doc:"age recipients that copies are sealed to"`
	UUID       string        `star:"uuid?" doc:"UUID of the file system that must be there (file://)"`
	Serial     string        `star:"serial?" doc:"serial number of the disk that must be there (file://)"`
	HostKey    string        `star:"host_key?" doc:"public host keys, one a line (sftp://)"`
	Key        Secret        `star:"key?" doc:"secret(…) of the private key (sftp://)"`
	Pass       Secret        `star:"passphrase?" doc:"secret(…) that opens the LUKS container of a medium (file://)"`
	Login      Secret        `star:"login?" doc:"secret(…) of the login at a cloud store: runner cloud login or runner cloud import makes it"`
	Layout     string        `star:"layout?" doc:"chunks: a deduplicating repository, guests' disks decoded; left out: folders of files (file://)"`
	MirrorOf   string        `star:"mirror_of?" doc:"name of a target of layout chunks: its repository lies here, sealed, and only what is new is sent (layout chunks); read there fetches all that a copy needs, which the next night needs again for the most part: where bytes cost, demand stored, and have the newest copy alone read now and then"`
	Password   Secret        `star:"password?" doc:"secret(…) of the repository's password (layout chunks)"`
	PartSize   int64         `star:"part_size?" doc:"bytes: larger files are cut into parts of this size; 64 MiB at cloud stores"`
	Bandwidth  int64         `star:"bandwidth?" doc:"bytes a second at most"`
	Window     string        `star:"window?" doc:"hours in which it is written, in local time: 22:00-06:00"`
	Budget     string        `star:"read_budget?" doc:"what proofs may read there in a night, from noon to noon: 5GiB/night; a reading that takes longer goes on the next night"`
	Due        time.Duration `star:"due?" doc:"an offline medium is fetched and written at least so often; of a set, media(…) says it"`
	Grace      time.Duration `star:"grace?" doc:"after due: degraded so long, then failed"`
}

func (b *builder) target(a *targetArgs) (starlark.Value, error) {
	var wrong []error
	place, err := target.ParsePlace(a.URL)
	if err != nil {
		wrong = append(wrong, bad("url", "%w", err))
	}
	if place.Keyed && a.HostKey == "" {
		wrong = append(wrong, errors.New("host_key is missing: a host key is always checked (ssh-keyscan -t ed25519 HOST, compared on its "+
			"console)"))
	}
	if a.Offline && place.Removable && (a.UUID == "" || a.Serial == "") {
		wrong = append(wrong, bad("offline", "an offline medium needs uuid and serial: a label or a mount point alone is not identity (lsblk "+
			"-o NAME,UUID,SERIAL)"))
	}
	wrong = append(wrong, foreign(a, place)...)
	window, err := target.ParseHours(a.Window)
	if err != nil {
		wrong = append(wrong, bad("window", "window: %w", err))
	}
	budget, err := parseBudget(a.Budget)
	switch {
	case err != nil:
		wrong = append(wrong, bad("read_budget", "read_budget: %w", err))
	case budget > 0 && (place.InPlace || a.Layout != ""):
		wrong = append(wrong, bad("read_budget", "read_budget is for files on a target of their own: not for %s",
			cmp.Or(a.Layout, "archives in place")))
	case budget > 0 && a.PartSize == 0 && !place.Foreign:
		wrong = append(wrong, bad("read_budget", "read_budget needs part_size: what a night begins to read it must be able to finish"))
	case budget > 0 && budget < 2*a.PartSize:
		wrong = append(wrong, bad("read_budget", "read_budget %q is less than two parts of %d bytes (part_size)", a.Budget, a.PartSize))
	}
	if a.PartSize < 0 || a.PartSize > 0 && a.PartSize < 1<<20 {
		wrong = append(wrong, bad("part_size", "part_size: want at least 1048576 bytes"))
	}
	switch {
	case a.Layout != "" && a.Layout != target.LayoutChunks:
		wrong = append(wrong, bad("layout", "layout: want %q, or leave it out", target.LayoutChunks))
	case a.Layout == "" && a.Password.Name != "":
		wrong = append(wrong, bad("password", "password is for layout = %q", target.LayoutChunks))
	case a.MirrorOf != "":
		wrong = append(wrong, b.mirror(a, place)...)
	case a.Layout != "" && a.Password.Name == "":
		wrong = append(wrong, bad("layout", "layout %q needs password = secret(…): runner secret set NAME keeps it", a.Layout))
	case a.Layout != "" && (!place.Local || len(a.SealedTo) > 0 || a.PartSize > 0 || a.probed() != ""):
		wrong = append(wrong, bad("layout", "layout %q is for a file:// target that is neither sealed, immutable, append-only nor cut into parts",
			a.Layout))
	}
	if a.Immutable && a.AppendOnly {
		wrong = append(wrong, bad("append_only", "say immutable or append_only: what nobody can change, or what runner's own login cannot"))
	}
	if place.InPlace && a.probed() != "" {
		wrong = append(wrong, errors.New("immutable and append_only are for places that runner writes to: a storage of Proxmox is not probed"))
	}
	if a.Bandwidth < 0 {
		wrong = append(wrong, bad("bandwidth", "bandwidth: want bytes a second"))
	}
	for _, r := range a.SealedTo {
		if _, _, err := bundle.ParseRecipient(r); err != nil {
			wrong = append(wrong, bad("sealed_to", "sealed_to %q: not an age recipient: runner recovery-key new prints one (%w)", r, err))
		}
	}
	for _, t := range b.site.Targets {
		if t.Name == a.Name {
			return nil, errors.Join(append(wrong, bad("name", "%q is declared twice", a.Name))...)
		}
	}
	b.site.Targets = append(b.site.Targets, &Target{
		TargetFacts: ledger.TargetFacts{Name: a.Name, URL: a.URL, Medium: a.Medium, Location: a.Location, Offline: a.Offline, Offsite: a.Offsite,
			Due: a.Due, Grace: a.Grace, ReadBudget: budget, Probed: a.probed()},
		Place:    place,
		SealedTo: a.SealedTo, UUID: a.UUID, Serial: a.Serial, HostKey: a.HostKey, Key: a.Key, Passphrase: a.Pass, PartSize: a.PartSize,
		Bandwidth: a.Bandwidth, Login: a.Login, Window: window, Layout: a.Layout, Password: a.Password, MirrorOf: a.MirrorOf})
	return nil, errors.Join(wrong...)
}

// parseBudget reads "5GiB/night"; "" is no limit.
func parseBudget(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	size, per, ok := strings.Cut(s, "/")
	n, err := humanize.ParseBytes(size)
	if err != nil || !ok || strings.TrimSpace(per) != "night" || n == 0 || n > 1<<62 {
		return 0, fmt.Errorf("%q: want bytes in a night: 5GiB/night", s)
	}
	return int64(n), nil
}

// partSize is how much of a file a cloud store takes at once, where the site does not say
// it: a transfer that breaks off goes on at the part.
const partSize = 64 << 20

// foreign holds what is demanded where somebody else keeps the copies.
func foreign(a *targetArgs, place target.Place) (wrong []error) {
	if !place.Foreign {
		if a.Login.Name != "" {
			wrong = append(wrong, bad("login", "login is for cloud stores; a server's key is key = secret(…)"))
		}
		return wrong
	}
	if a.Login.Name == "" {
		wrong = append(wrong, errors.New("login is missing: runner cloud login "+a.Name+" makes it, and login = secret(…) names it"))
	}
	if len(a.SealedTo) == 0 {
		wrong = append(wrong, errors.New("sealed_to is missing: what lies at somebody else's is always sealed (runner recovery-key new)"))
	}
	if a.PartSize == 0 && a.MirrorOf == "" {
		a.PartSize = partSize
	}
	return wrong
}
