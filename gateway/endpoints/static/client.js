// Sessions in cookies, for a front end behind the gateway; explained in docs/frontend.md.
//   import { gateway } from "/auth/client.js";
//   const gw = gateway({ onchange: (state, reason) => { … } });
//   const answer = await gw.fetch("/api/orders", { method: "POST", body });

const SAFE = ["GET", "HEAD", "OPTIONS"];

export function gateway({ origin = location.origin, base = "/auth", onchange = () => {} } = {}) {
  const at = origin + base;
  const credentials = origin === location.origin ? "same-origin" : "include";
  const name = `gateway ${at}`;
  const channel = globalThis.BroadcastChannel ? new BroadcastChannel(name) : null;
  let csrf = null;
  let flight = null;

  // When any tab has refreshed last: no secret.
  const stored = (time) => {
    try {
      if (time) localStorage.setItem(name, time);
      return Number(localStorage.getItem(name));
    } catch {
      return 0;
    }
  };

  const changed = (state, reason, told) => {
    if (told || state === "out") csrf = null;
    if (!told) channel?.postMessage([state, reason]);
    onchange(state, reason);
  };
  if (channel) channel.onmessage = ({ data: [state, reason] }) => changed(state, reason, true);

  async function armed(request) {
    if (SAFE.includes(request.method)) return request;
    csrf ??= (await (await fetch(`${at}/csrf`, { credentials })).json()).csrf_token;
    request.headers.set("X-CSRF-Token", csrf);
    return request;
  }

  async function sent(request) {
    const again = request.clone();
    const answer = await fetch(await armed(request));
    if (answer.status !== 403 || answer.headers.get("X-Gateway-Error") !== "csrf_failed") return answer;
    csrf = null; // it was of another session
    return fetch(await armed(again));
  }

  async function post(path, members = {}) {
    const headers = { "Content-Type": "application/json" };
    const init = { method: "POST", credentials, headers, body: JSON.stringify(members) };
    const answer = await sent(new Request(at + path, init));
    const body = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
    if (answer.ok) csrf = body.csrf_token ?? null;
    return { ok: answer.ok, status: answer.status, body };
  }

  // true: there is a new session cookie; false: the session is over; null: nobody can say just now.
  function refresh() {
    const asked = Date.now();
    const renew = async () => {
      if (stored() > asked) return true; // another tab was faster
      const { ok, status } = await post("/refresh");
      if (ok) stored(Date.now());
      return ok || (status === 401 ? false : null);
    };
    flight ??= (navigator.locks ? navigator.locks.request(name, renew) : renew()).finally(() => (flight = null));
    return flight;
  }

  async function request(input, init) {
    const made = new Request(input, { credentials, ...init });
    if (new URL(made.url).origin !== origin) return fetch(made); // nobody else gets our header
    const again = made.clone();
    const answer = await sent(made);
    const why = answer.headers.get("X-Gateway-Error") ?? "";
    if (answer.status !== 401 || !why.startsWith("token_")) return answer;
    const renewed = await refresh();
    if (renewed) return sent(again);
    if (renewed === false) changed("out", why === "token_revoked" ? "revoked" : "expired");
    return answer;
  }

  const entered = (outcome) => {
    if (outcome.ok) changed("in", "login");
    return outcome;
  };

  return {
    fetch: request,
    refresh,
    login: async (members) => entered(await post("/login", { ...members, mode: "cookie" })),
    code: async (mfa_token, code) => entered(await post("/login/mfa", { mfa_token, code })),
    logout: async (scope = "local") => {
      const { ok } = await post(`/logout?scope=${scope}`);
      if (ok && scope !== "others") changed("out", "logout");
      return ok;
    },
    session: async () => {
      const answer = await request(`${at}/session`);
      return answer.ok ? answer.json() : null;
    },
  };
}
