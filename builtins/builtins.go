// Package builtins declares the primitives of policies. A primitive is one file,
// named after it, that holds its declaration (arguments, documentation, kind, way
// to resume, codes, plan, fake) and the function behind it. All lists them; there
// is no registration and no global state.
//
// This file is also the door to what lies in builtins/internal: sites, the world
// behind them, keyrings. What primitives share below themselves is there, too.
package builtins

import (
	"slices"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/custody"
	"github.com/neosofia/runner/builtins/internal/format/sheet"
	"github.com/neosofia/runner/builtins/internal/recovery"
	"github.com/neosofia/runner/builtins/internal/rescue"
	"github.com/neosofia/runner/builtins/internal/site"
	"github.com/neosofia/runner/builtins/internal/survey"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/internal/world"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// All lists the declarations.
func All() []runtime.Declaration {
	return []runtime.Declaration{
		copiesDeclaration(),
		copyDeclaration(),
		destroyVMDeclaration(),
		exportDNSDeclaration(),
		exportFirewallDeclaration(),
		guestsDeclaration(),
		historyDeclaration(),
		logDeclaration(),
		nowDeclaration(),
		pruneDeclaration(),
		rearHostDeclaration(),
		removeBroughtDeclaration(),
		restoreVMDeclaration(),
		sealSecretsDeclaration(),
		shipLogsDeclaration(),
		snapshotVMDeclaration(),
		systemsDeclaration(),
		verifyDeclaration(),
	}
}

// codes joins lists of codes; of two with one name the first counts.
func codes(lists ...[]runtime.Code) (out []runtime.Code) {
	for _, list := range lists {
		for _, c := range list {
			if !slices.ContainsFunc(out, func(have runtime.Code) bool { return have.Name == c.Name }) {
				out = append(out, c)
			}
		}
	}
	return out
}

// What cmd/runner joins.
type (
	Site          = site.Site
	World         = world.World
	Env           = world.Env
	Keyring       = keyring.Keyring
	KeyringConfig = keyring.Config
	Fullness      = survey.Fullness
	Foreseen      = rescue.Foreseen
	Evidence      = survey.Evidence
	NightNeeds    = survey.Needs
	NightFault    = survey.Fault

	Medium         = recovery.Medium
	MediumEntry    = recovery.Entry
	RecoverOptions = recovery.Options
	Bare           = recovery.Bare
	Identity       = age.Identity
	KeyBound       = custody.Bound
	Keys           = sheet.Keys
	TypedKeys      = sheet.Typed
)

// The functions behind them are documented where they are.
var (
	LoadSite        = site.Load
	Constructors    = site.Docs
	CheckSecretName = site.CheckSecretName
	NewWorld        = world.New
	NewKeyring      = keyring.New
	SystemDevice    = target.SystemDevice
	Settle          = survey.Settle
	ReadEvidence    = survey.ReadEvidence
	ReadManifests   = survey.ReadManifests
	ObserveMedia    = survey.ObserveMedia
	DaysUntilFull   = survey.DaysUntilFull
	ForeseeNight    = survey.Night
	ForeseeImages   = rescue.Foresee
	OpenMedium      = recovery.Open
	BareArchive     = recovery.BareArchive
	ReadKeys        = sheet.Read
	LevelWords      = recovery.LevelWords
	NewestEntries   = recovery.Newest
	ErrNotDamaged   = recovery.ErrNotDamaged
	Recipient       = custody.Recipient
	TryKey          = custody.Try
	RecoverySheet   = sheet.Sheet
	BoundTo         = custody.BoundTo
	Fingerprint     = target.Fingerprint
)

// FakeWorld is the world of one case of a policy test: the site's names and
// demands, and nothing behind them.
func FakeWorld(s *Site, given map[string]any) (any, ledger.Demands, map[string]bool) {
	if given == nil {
		given = map[string]any{}
	}
	w := world.New(s, world.Env{})
	w.Given = given
	return w, s.Demands, s.Allowed
}
