"""The live page in a driven Chromium, by what a lecturer does with it."""

from tests.support.browser import ActionChains, Page

RESULT = """const root = document.getElementById("superposition-explore");
return root?.dataset.busy === "no" ? root.result : null;"""


class LivePage(Page):
    def start(self, path):
        self.driver.get("about:blank")
        self.driver.get(path.as_uri())
        return self.result()

    def result(self):
        """What is shown, once it is finished."""
        return self.wait(RESULT)

    def choose(self, name):
        """Choose a slide by a part of its name."""
        self.js(
            """const list = document.querySelector('.bar select');
            list.value = [...list.options].find((o) => o.text.includes(arguments[0])).value;
            list.dispatchEvent(new Event('change'))""",
            name,
        )
        return self.result()

    def slider(self, key):
        return self.js("return document.querySelector(`[data-key=${arguments[0]}]`)", key)

    def drag(self, key, pixels):
        """Drag a slider's handle from where it stands."""
        slider = self.slider(key)
        share, width = self.js(
            "const s = arguments[0]; return [(s.value - s.min) / (s.max - s.min), s.clientWidth]", slider
        )
        inside = width - 16  # the handle's own width stays inside
        start = round(8 + share * inside - width / 2)
        chain = ActionChains(self.driver).move_to_element_with_offset(slider, start, 0).click_and_hold()
        chain.move_by_offset(pixels, 0).release().perform()
