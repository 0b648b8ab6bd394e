/** The style of the gallery: two columns on a phone, dark mode and reduced motion by the system's settings. */
export const style = /* css */ `
:root {
  color-scheme: light dark;
  --paper: #f6f5f2; --card: #fff; --ink: #1d1c1a; --quiet: #66625a; --line: #dedad2; --accent: #b3461b; --bad: #a3201d;
  --shadow: 0 1px 2px rgb(0 0 0 / .06), 0 6px 20px rgb(0 0 0 / .05);
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #171615; --card: #22201e; --ink: #f0ece5; --quiet: #aaa397; --line: #3a3733;
    --accent: #f0926b; --bad: #ff9088;
    --shadow: 0 1px 2px rgb(0 0 0 / .4);
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
.wide { max-width: 76rem; margin-inline: auto; padding-inline: 1.25rem; }
header { display: flex; flex-wrap: wrap; gap: .75rem 1.5rem; align-items: center; padding-block: 1.5rem 1rem; }
h1 { font-size: 1.5rem; letter-spacing: -.02em; margin: 0; flex: 1 1 auto; }
h1 a { color: inherit; text-decoration: none; }
[role=search] { flex: 1 1 16rem; max-width: 26rem; }
input[type=search], input[type=text] {
  width: 100%; font: inherit; color: inherit; background: var(--card); padding: .55rem .9rem;
  border: 1px solid var(--line); border-radius: .6rem;
}
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.upload { display: grid; gap: .75rem; grid-template-columns: 1fr minmax(12rem, 18rem); margin-bottom: 1rem; }
.drop {
  display: flex; flex-wrap: wrap; gap: .35rem .75rem; align-items: center; justify-content: center; text-align: center;
  padding: 1.1rem; border: 2px dashed var(--line); border-radius: .9rem; background: var(--card); cursor: pointer;
  transition: border-color .15s, background .15s;
}
.drop:hover, .drop.over, .drop:focus-within { border-color: var(--accent); }
.drop.over { background: color-mix(in srgb, var(--accent) 10%, var(--card)); }
.drop:focus-within { outline: 3px solid var(--accent); outline-offset: 2px; }
.drop b { color: var(--accent); }
.drop small, .quiet { color: var(--quiet); font-size: .875rem; }
.tags { display: flex; flex-direction: column; justify-content: center; gap: .3rem; }
.tags label { font-size: .875rem; color: var(--quiet); }
#uploads { list-style: none; margin: 0; padding: 0; display: grid; gap: .4rem; }
#uploads li {
  display: grid; grid-template-columns: minmax(0, 1fr) 8rem; gap: .2rem 1rem; align-items: center;
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .5rem .9rem; font-size: .9rem;
}
#uploads span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#uploads progress { width: 100%; accent-color: var(--accent); }
#uploads button {
  font: inherit; color: inherit; background: none; cursor: pointer;
  border: 1px solid var(--line); border-radius: .5rem; padding: .1rem .6rem;
}
#uploads em { grid-column: 1 / -1; font-style: normal; color: var(--quiet); }
#uploads .bad em { color: var(--bad); }

.bar { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; margin: 1rem 0 .75rem; }
#count { flex: 1 1 auto; }
.bar p { margin: 0; }
.live::before {
  content: ''; display: inline-block; width: .55rem; height: .55rem; border-radius: 50%; margin-right: .45rem;
  background: var(--quiet);
}
.live.on::before { background: #2e9e5b; }
#tiles {
  list-style: none; margin: 0; padding: 0;
  display: grid; gap: 1.1rem; grid-template-columns: repeat(auto-fill, minmax(14.5rem, 1fr));
}
.tile {
  background: var(--card); border: 1px solid var(--line); border-radius: .9rem;
  overflow: hidden; box-shadow: var(--shadow);
}
.tile a { display: block; color: inherit; text-decoration: none; }
.picture {
  position: relative; overflow: hidden; aspect-ratio: 4 / 3; display: grid; place-items: center;
  background: color-mix(in srgb, var(--ink) 6%, var(--card));
}
/* Out of the flow, so that a tall picture is cropped instead of stretching its row. */
.picture img {
  position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; display: block; transition: transform .25s;
}
.tile a:hover img { transform: scale(1.03); }
.tile a:focus-visible { outline-offset: -3px; }
.picture p { margin: 0; padding: 1rem; text-align: center; font-size: .9rem; color: var(--quiet); }
.tile[data-state=making] .picture {
  --shine: color-mix(in srgb, var(--accent) 18%, transparent);
  background: linear-gradient(100deg, transparent 30%, var(--shine) 50%, transparent 70%) 0 0 / 250% 100%;
  animation: pass 1.4s linear infinite;
}
.tile[data-state=broken] .picture p { color: var(--bad); }
@keyframes pass { from { background-position: 130% 0; } to { background-position: -130% 0; } }
.words { padding: .7rem .95rem .85rem; }
.words h2 { margin: 0; font-size: 1rem; font-weight: 600; overflow-wrap: anywhere; }
.words p { margin: .1rem 0 0; }
.words ul { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem; margin: .45rem 0 0; padding: 0; }
.words ul a {
  display: block; font-size: .8rem; padding: .05rem .6rem; color: var(--quiet);
  border: 1px solid var(--line); border-radius: 1rem;
}
.words ul a:hover { color: var(--accent); border-color: var(--accent); }
.none { grid-column: 1 / -1; text-align: center; padding: 3rem 1rem; color: var(--quiet); }
footer {
  margin-top: 2.5rem; padding-block: 1.25rem 2rem; border-top: 1px solid var(--line);
  color: var(--quiet); font-size: .875rem;
}
footer summary { cursor: pointer; width: fit-content; }
table { border-collapse: collapse; margin-top: .6rem; }
th, td { text-align: right; padding: .2rem .9rem .2rem 0; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; }
@media (max-width: 40rem) {
  .upload { grid-template-columns: 1fr; }
  #tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .7rem; }
  .words { padding: .55rem .7rem .7rem; }
}
@media (prefers-reduced-motion: reduce) { *, *::before { animation: none !important; transition: none !important; } }
`;
