// A real OpenID provider (oidc-provider, certified) with its own sign-in pages: whoever comes is whom they say.
// node openid_provider.mjs <folder of node_modules> <port> <where Hivemind is>
import { generateKeyPairSync } from "node:crypto";

const [, , modules, port, site] = process.argv;
const { default: Provider } = await import(`${modules}/oidc-provider/lib/index.js`);

const issuer = `http://127.0.0.1:${port}`;
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwk = { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: `key-${process.pid}` };

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "hivemind",
      client_secret: "a secret/with:signs",
      redirect_uris: [`${site}/auth/oidc/callback`],
      post_logout_redirect_uris: [`${site}/sign-in`],
    },
  ],
  cookies: { keys: ["only for a test"] },
  jwks: { keys: [jwk] },
  scopes: ["openid", "profile", "email", "groups"],
  claims: { openid: ["sub"], profile: ["preferred_username"], email: ["email"], groups: ["groups"] },
  findAccount: (_, id) => ({
    accountId: id,
    // "ada+admins" is ada, a member of admins.
    claims: () => ({ sub: id, preferred_username: id.split("+")[0], email: `${id.split("+")[0]}@example.org`, groups: id.split("+").slice(1) }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
