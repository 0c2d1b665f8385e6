// Package builtins declares the primitives of policies. A primitive is one file,
// named after it, that holds its declaration (arguments, documentation, kind, way
// to resume, codes, plan, fake) and the function behind it. All lists them; there
// is not a registration and no global state.
//
// What the program joins beside them lies in packages of its own below: site, systems
// (what is behind a site), preflight, capacity, checkpoints, medium, recoverykey, newsite.
// The bodies of primitives and what they share lie in builtins/internal; of that the few
// names at the end of this file are for the program.
package builtins

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/format/bundle"
	"github.com/neosofia/runner/builtins/internal/format/sheet"
	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/builtins/internal/rearhost"
	"github.com/neosofia/runner/builtins/internal/restorevm"
	"github.com/neosofia/runner/builtins/internal/savefiles"
	"github.com/neosofia/runner/builtins/internal/sealsecrets"
	"github.com/neosofia/runner/builtins/internal/spool"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// All lists the declarations.
func All() []runtime.Declaration {
	return []runtime.Declaration{
		adoptDeclaration(),
		copiesDeclaration(),
		copyDeclaration(),
		destroyVMDeclaration(),
		exportDNSDeclaration(),
		exportFirewallDeclaration(),
		guestAssetsDeclaration(),
		guestsDeclaration(),
		historyDeclaration(),
		lackingDeclaration(),
		logDeclaration(),
		nowDeclaration(),
		pruneDeclaration(),
		rearHostDeclaration(),
		removeUploadDeclaration(),
		restoreVMDeclaration(),
		saveFilesDeclaration(),
		sealSecretsDeclaration(),
		shipLogsDeclaration(),
		snapshotVMDeclaration(),
		systemsDeclaration(),
		verifyDeclaration(),
	}
}

// exportCodes are those of what makes an artifact in the spool, for an asset of the site.
func exportCodes(more ...failure.Code) []failure.Code {
	return codes(spool.Codes(), []failure.Code{site.CodeNoAsset}, more)
}

// exportStands tells a retry whether an artifact of the spool need not be made again.
func exportStands[A any](ctx context.Context, s *runtime.Step, _ *A, value json.RawMessage) (bool, error) {
	var art ledger.Artifact
	if err := json.Unmarshal(value, &art); err != nil {
		return false, err
	}
	return systems.Of(s).Stands(ctx, s, art)
}

// codes joins lists of codes; of two with one name the first counts.
func codes(lists ...[]failure.Code) (out []failure.Code) {
	for _, list := range lists {
		for _, c := range list {
			if !slices.ContainsFunc(out, func(have failure.Code) bool { return have.Name == c.Name }) {
				out = append(out, c)
			}
		}
	}
	return out
}

// Of builtins/internal for the program; documented where they are.
type (
	Keyring       = keyring.Keyring
	KeyringConfig = keyring.Config
	Foreseen      = rearhost.Foreseen

	Keys      = sheet.Keys
	TypedKeys = sheet.Typed
)

var (
	NewKeyring     = keyring.New
	SystemDevice   = target.SystemDevice
	FilesAsset     = savefiles.Asset
	RestorePlace   = restorevm.Place
	ForeseeImages  = rearhost.Foresee
	ForeseeSecrets = sealsecrets.Foresee
	ReadKeys       = sheet.Read
	Recipient      = bundle.RecipientOf
	RecoverySheet  = sheet.Sheet
	Fingerprint    = target.Fingerprint
	Quote          = kind.Quote
	ErrNoSecret    = keyring.ErrNoItem
)

// SiteNames lists what policies can name; a host is one whatever is made of it.
func SiteNames(s *site.Site) runtime.Names {
	names := s.Names()
	names["host"] = nil
	for _, h := range s.Hosts {
		names["host"] = append(names["host"], h.Name)
	}
	return names
}

// FakeWorld is the world of one case of a policy test: the site's names and
// demands, and nothing behind them.
func FakeWorld(s *site.Site, given map[string]any) (any, ledger.Demands, map[string]bool) {
	if given == nil {
		given = map[string]any{}
	}
	w := systems.New(s, systems.Env{})
	w.Given = given
	return w, s.Demands, s.Allowed
}

// retryWait is the pause before the second attempt of a step that met a temporary
// failure.
const retryWait = 5 * time.Second
