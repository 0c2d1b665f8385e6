package builtins

import (
	"context"

	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/sealsecrets"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
)

type sealSecretsArgs struct {
	Names      []string          `star:"names?" doc:"patterns of the items to seal (pve-*, site/*); default: every item of the keyring"`
	Recipients []string          `star:"recipients?" doc:"age recipients; default: every one in sealed_to of the site's targets, or with a threshold the custodians alone"`
	Threshold  int               `star:"threshold?" doc:"so many custodians together open the secrets; default 0: no custodians"`
	Custodians map[string]string `star:"custodians?" doc:"name -> age recipient; default: those that the site declares with custodian(...)"`
	Asset      string            `star:"asset?" doc:"row of the SOP's table; default credentials" names:"asset"`
}

func sealSecretsDeclaration() runtime.Declaration {
	return runtime.Reusable[sealSecretsArgs]{Reuse: exportStands[sealSecretsArgs], Primitive: runtime.Primitive[sealSecretsArgs]{
		Name: "seal_secrets", Kind: runtime.Write, Resume: runtime.Retry, Returns: "an artifact",
		Doc: "seal_secrets: seal the items of the keyring to recovery keys that do not lie on this host.\n\n" +
			"They go into an age file; index.json beside it shows no plaintext: keyed hashes of the names, and sizes rounded up to 64. A canary " +
			"is sealed to the same recipients, for runner recovery-key test. " +
			"Hybrid (post-quantum) and classic recipients are never mixed in one file: with both there are two. " +
			"With threshold = M, a new age identity is split among the custodians; M of their shares open the secrets, here or with 40 lines of " +
			"Python that lie beside them. Each share is sealed to its custodian, its commitment is in the ledger, and every M of them were tried " +
			"before the shares left memory. " +
			"A target with sealed_to seals all of these files once more, the shares, too: from there the recovery key of the target is needed as " +
			"well as the custodians. Where custodians alone are to open the secrets, copy them to a target without sealed_to as well. " +
			"As long as recipients and custodians are the same, the set and its shares stay; others make a new set, and copies of the old one " +
			"stay readable with the old keys. " +
			"Secrets are in memory only until they are sealed: not in Starlark, arguments, environment, logs, ledger or clear files.",
		Example: `seal_secrets()`,
		Codes: exportCodes(keyring.CodeLocked, keyring.CodeEmpty, sealsecrets.CodeChanged, keyring.CodeSecret, sealsecrets.CodeSize,
			sealsecrets.CodeNoRecipient, sealsecrets.CodeOnHost, sealsecrets.CodeCustodians, sealsecrets.CodeShares),
		Retries: runtime.Retries{Attempts: sealsecrets.Attempts, Wait: retryWait},
		Holds:   func(*sealSecretsArgs) []string { return []string{"keyring"} },
		Planned: func(*sealSecretsArgs) any { return runtime.Unknown{From: "seal_secrets"} },
		Preview: func(_ context.Context, s *runtime.Step, a *sealSecretsArgs) error {
			return systems.PreviewCopies(s, a.Asset, "credentials")
		},
		Fake: fakeSealSecrets,
		Run: func(ctx context.Context, s *runtime.Step, a *sealSecretsArgs) (runtime.Result, error) {
			r := sealsecrets.Request(*a)
			return sealsecrets.Seal(ctx, s, &r)
		},
	}}
}

func fakeSealSecrets(_ context.Context, s *runtime.Step, a *sealSecretsArgs) (runtime.Result, error) {
	return systems.FakeExport(s, "secrets", a.Asset, "credentials", sealsecrets.Item)
}
